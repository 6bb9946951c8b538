-- role:   worker refresher
-- params: $1 int8 connection
-- rows:   0..1 of fence, last_generation, generation or null, state, cause, failures, refusals, whether ambiguous, whether the grant is over, whether the access token lives, client, provider, datacenter, app
-- why:    what a spool's slot is compared with
select c.fence, c.last_generation, t.generation, c.state, c.cause, c.failures, c.refusals, c.ambiguous_at is not null,
	coalesce(least(t.grant_ends_at, t.idle_ends_at) <= now(), false), coalesce(t.expires_at > now(), true),
	c.client_id, c.provider, c.datacenter, c.app_id
from vestal.connection c left join vestal.token t on t.connection_id = c.id
where c.id = $1 and c.removed_at is null
