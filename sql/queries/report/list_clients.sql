-- role:   worker operator
-- params: $1 text[] clients, $2 text[] providers or null, $3 text[] statuses or null, $4 text after client, $5 text after provider, $6 int8 limit
-- rows:   n of a report each (fcgi/store/report.h)
-- why:    a few clients are looked up, not looked for
select client_id, provider, status, cause, action, owner, expires_at, last_refreshed_at, last_proved_at, next_refresh_at,
	refresh_expires_at, failures, last_error_code, last_error_at, generation, datacenter, passive, copy_generation,
	environment_generation
from vestal.connection_report
where client_id = any ($1) and (client_id, provider) > ($4, $5) and ($2::text[] is null or provider = any ($2))
	and ($3::text[] is null or status = any ($3))
order by client_id, provider limit $6
