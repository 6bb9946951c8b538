-- role:   worker refresher
-- params: $1 int8 connection, $2 int8 generation, $3 text what became of it
-- rows:   0..1 of tries
-- why:    the first word stays: two may have asked
update vestal.token_history set revocation = $3, revoke_due_at = null
where connection_id = $1 and generation = $2 and revocation = 'pending'
returning revoke_tries
