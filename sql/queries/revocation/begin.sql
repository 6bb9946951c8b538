-- role:   worker
-- params: $1 int8 connection, $2 int8 generation
-- rows:   0
-- why:    due at once, for whoever comes first
update vestal.token_history set revocation = 'pending', revoke_due_at = now() where connection_id = $1 and generation = $2
