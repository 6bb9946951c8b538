-- role:   worker
-- params: $1 int8 connection, $2 text cause
-- rows:   0
update vestal.connection set state = 'missing', cause = $2, next_refresh_at = null, overdue_at = null where id = $1
