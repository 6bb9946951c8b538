-- role:   worker
-- params: $1 int8 attempt, $2 text outcome
-- rows:   0
update vestal.authorization_attempt set ended_at = now(), outcome = $2 where id = $1
