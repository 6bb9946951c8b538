-- role:   worker
-- params: $1 int8 connection, $2 int8 generation
-- rows:   1 of whether it was removed to be revoked
select exists (select from vestal.token_history where connection_id = $1 and generation = $2 and revocation is not null)
