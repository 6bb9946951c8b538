-- role:   worker refresher
-- params: $1 int8 connection, $2 int8 generation, $3 int8 seconds the provider asked for
-- rows:   0
update vestal.token_history set revoke_due_at = greatest(revoke_due_at, now() + make_interval(secs => $3::int8))
where connection_id = $1 and generation = $2 and revocation = 'pending'
