-- role:   worker
-- params: $1 int8 connection, $2 int8 generation, $3 bool spent
-- rows:   0..1 of generation: it was not so before
-- why:    who finds a refresh token unspent, and spends it, alone sends it
update vestal.token_history set spent = $3 where connection_id = $1 and generation = $2 and spent <> $3
returning generation
