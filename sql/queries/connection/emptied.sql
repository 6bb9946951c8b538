-- role:   worker
-- params: $1 int8 connection, $2 text cause
-- rows:   0
update vestal.connection set state = 'missing', cause = $2, next_refresh_at = null, overdue_at = null,
	deferred_by = null, refusals = 0, failures = 0, ambiguous_at = null, undistributed = true where id = $1
