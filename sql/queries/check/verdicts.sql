-- role:   worker refresher
-- params: $1 int8[] connections
-- rows:   n of connection, generation or null, status, cause, action, owner
select id, generation, status, cause, action, owner from vestal.connection_report where id = any ($1::int8[])
