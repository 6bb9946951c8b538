-- role:   worker
-- params: $1 text provider, $2 text datacenter, $3 int8 app or null, $4 int8 connection, $5 int8 requests allowed or 0, $6 int8 seconds they are counted for
-- rows:   1 of cause of a gate that is shut or null, seconds until somebody may try, seconds until the quota has room or null
select shut.cause, vestal.seconds_left(shut.retry_at), (select $6::int8 - floor(extract(epoch from now() - m))::int8 + 1
	from vestal.connection c, unnest(c.mints) m
	where c.id = $4 and $5::int8 > 0 and m > now() - make_interval(secs => $6::int8)
	order by m desc offset greatest($5::int8 - 1, 0) limit 1)
from (values (true)) one (row) left join lateral (select s.cause, s.retry_at from vestal.provider_state s
	where s.provider = $1 and s.datacenter = $2 and (s.app_id is null or s.app_id = $3) and s.state <> 'closed'
		and s.retry_at > now()
	order by s.retry_at desc limit 1) shut on true
