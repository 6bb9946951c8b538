-- role:   worker
-- params: $1 int8 attempt
-- rows:   0..1 of outcome
select outcome from vestal.authorization_attempt where id = $1
