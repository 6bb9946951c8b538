-- role:   worker operator
-- params: $1 text[] providers or null, $2 text[] statuses or null, $3 text after client, $4 text after provider, $5 int8 limit
-- rows:   n of a report each (fcgi/store/report.h)
-- why:    a page begins where the one before ended, in the order of an index: its first row costs what its last one does
select client_id, provider, status, cause, action, owner, expires_at, last_refreshed_at, last_proved_at, next_refresh_at,
	refresh_expires_at, failures, last_error_code, last_error_at, generation, datacenter, passive, copy_generation,
	environment_generation
from vestal.connection_report
where (client_id, provider) > ($3, $4) and ($1::text[] is null or provider = any ($1))
	and ($2::text[] is null or status = any ($2))
order by client_id, provider limit $5
