-- role:   worker refresher
-- params: $1 int8[] connections
-- rows:   n of connection, client, provider, datacenter, app or null, api_domain or null, scope or null, state, generation or null, access_sealed or null, whether it lives, whether it can be renewed, passive, provider's gate or null, cause of a gate that is shut now or null, whether that is the provider's, status, cause
-- why:    everything a probe needs, and how the connection was judged before it
select c.id, c.client_id, c.provider, c.datacenter, c.app_id, c.api_domain, c.scope, c.state, t.generation, t.access_sealed,
	coalesce(t.expires_at > now(), true), t.refresh_sealed is not null and c.next_refresh_at is not null, c.passive, p.id,
	case when p.retry_at > now() and p.state <> 'closed' then p.cause when a.retry_at > now() and a.state <> 'closed' then a.cause end,
	p.retry_at > now() and p.state <> 'closed', r.status, r.cause
from vestal.connection c join vestal.connection_report r on r.id = c.id left join vestal.token t on t.connection_id = c.id
	left join vestal.provider_state p on p.provider = c.provider and p.datacenter = c.datacenter and p.app_id is null
	left join vestal.provider_state a on a.provider = c.provider and a.datacenter = c.datacenter and a.app_id = c.app_id
where c.id = any ($1::int8[]) order by array_position($1::int8[], c.id)
