-- role:   worker
-- params: $1 int8 connection, $2 text refresh_fingerprint
-- rows:   0
update vestal.token_history set spent = true where connection_id = $1 and refresh_fingerprint = $2 and not spent
