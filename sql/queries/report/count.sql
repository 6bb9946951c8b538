-- role:   worker refresher operator
-- params: $1 text[] clients or null, $2 text[] providers or null, $3 text[] statuses or null
-- rows:   1 of total, unhealthy
select count(*), count(*) filter (where status <> 'healthy')
from vestal.connection_report
where ($1::text[] is null or client_id = any ($1)) and ($2::text[] is null or provider = any ($2))
	and ($3::text[] is null or status = any ($3))
