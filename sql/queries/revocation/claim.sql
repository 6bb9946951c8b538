-- role:   worker refresher
-- params: $1 int8 connection or null, $2 text[] places to leave alone ("provider datacenter")
-- rows:   0..1 of connection, generation, client, provider, app, datacenter, api_domain, access_sealed, refresh_sealed, fingerprint, whether it is the last try
-- why:    the next try is planned before this one is made, later each time, so that a crash neither loses nor repeats it at
--         once, and nobody else asks meanwhile. A provider in trouble is not asked, but for what is too old to wait
with due as (
	select h.connection_id, h.generation from vestal.token_history h join vestal.connection c on c.id = h.connection_id
	where h.revoke_due_at <= now() and ($1::int8 is null or h.connection_id = $1)
		and not c.provider || ' ' || coalesce(h.datacenter, '') = any ($2::text[])
		and ($1::int8 is not null or h.revoke_since < now() - interval '3 days' or not exists (
			select from vestal.provider_state s where s.provider = c.provider and s.datacenter = h.datacenter
				and (s.app_id is null or s.app_id = h.app_id) and s.state <> 'closed' and s.retry_at > now()))
	order by h.revoke_due_at, h.generation desc limit 1 for update of h skip locked
)
update vestal.token_history h set revoke_tries = h.revoke_tries + 1,
	revoke_due_at = now() + least(interval '1 minute' * 2 ^ least(h.revoke_tries, 10), interval '1 hour')
from due d, vestal.connection c
where h.connection_id = d.connection_id and h.generation = d.generation and c.id = h.connection_id
returning h.connection_id, h.generation, c.client_id, c.provider, h.app_id, h.datacenter, h.api_domain,
	h.access_sealed, h.refresh_sealed, h.access_fingerprint, h.revoke_since < now() - interval '3 days'
