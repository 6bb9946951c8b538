-- role:   worker refresher
-- params: $1 int8 connection
-- rows:   0..1 of generation or null, state, cause, whether somebody holds its lease, seconds until that ends, seconds until the next try, deferred_by or null, whether it can be renewed at all, seconds the token lives or null, gate's cause or null, failures
select t.generation, c.state, c.cause, c.lease_until > now() as leased, vestal.seconds_left(c.lease_until),
	vestal.seconds_left(c.next_refresh_at), c.deferred_by,
	c.next_refresh_at is not null and t.refresh_sealed is not null and not c.passive,
	vestal.seconds_left(t.expires_at),
	(select s.cause from vestal.provider_state s where s.provider = c.provider and s.datacenter = c.datacenter
		and (s.app_id is null or s.app_id = c.app_id) and s.state = 'open' order by s.app_id limit 1), c.failures
from vestal.connection c left join vestal.token t on t.connection_id = c.id
where c.id = $1 and c.removed_at is null
