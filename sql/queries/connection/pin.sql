-- role:   worker refresher
-- params: $1 int8 connection, $2 text account_fingerprint
-- rows:   0
update vestal.connection set account_fingerprint = $2 where id = $1
