-- role:   worker
-- params: $1 int8 attempt, $2 text outcome
-- rows:   0..1 of id
-- why:    the first outcome stays: a commit whose answer was lost may have been a grant
update vestal.authorization_attempt set ended_at = now(), outcome = $2 where id = $1 and outcome = 'begun' returning id
