-- role:   worker
-- params: $1 int8 connection
-- rows:   0
-- why:    a request for a token outside of a renewal counts for the provider's quota, too
update vestal.connection set mints = mints[greatest(1, cardinality(mints) - 30):] || now() where id = $1
