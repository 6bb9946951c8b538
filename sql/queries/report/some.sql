-- role:   worker
-- params: $1 int8[] connections
-- rows:   n of a report each (fcgi/store/report.h)
select client_id, provider, status, cause, action, owner, vestal.rfc3339(expires_at), vestal.rfc3339(last_refreshed_at),
	vestal.rfc3339(last_proved_at), vestal.rfc3339(next_refresh_at), vestal.rfc3339(refresh_expires_at), failures,
	last_error_code, vestal.rfc3339(last_error_at), generation, datacenter, passive, copy_generation,
	environment_generation
from vestal.connection_report where id = any ($1::int8[]) order by client_id, provider
