-- role:   worker operator
-- params: $1 text[] clients or null, $2 text[] providers or null, $3 text[] statuses or null, $4 text after client or null, $5 text after provider, $6 int8 limit or null
-- rows:   n of a report each (fcgi/store/report.h)
select client_id, provider, status, cause, action, owner, vestal.rfc3339(expires_at), vestal.rfc3339(last_refreshed_at),
	vestal.rfc3339(last_proved_at), vestal.rfc3339(next_refresh_at), vestal.rfc3339(refresh_expires_at), failures,
	last_error_code, vestal.rfc3339(last_error_at), generation, datacenter, passive, copy_generation,
	environment_generation
from vestal.connection_report
where ($1::text[] is null or client_id = any ($1)) and ($2::text[] is null or provider = any ($2))
	and ($3::text[] is null or status = any ($3)) and ($4::text is null or (client_id, provider) > ($4, $5))
order by client_id, provider limit $6
