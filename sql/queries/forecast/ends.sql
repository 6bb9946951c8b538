-- role:   refresher operator
-- params: $1 text client or null, $2 text provider or null
-- rows:   n of what ends (grant, idle, secret), client or null, provider, datacenter, when, seconds until then or less than 0
-- why:    within 7 days, the nearest first; an app's secret once for everybody who uses the app
with ending as (
	select 'grant' as what, c.client_id, c.provider, c.datacenter, t.grant_ends_at as at
	from vestal.connection c join vestal.token t on t.connection_id = c.id
	where c.removed_at is null and c.state = 'live' and t.grant_ends_at < now() + interval '7 days'
	union all
	select 'idle', c.client_id, c.provider, c.datacenter, t.idle_ends_at
	from vestal.connection c join vestal.token t on t.connection_id = c.id
	where c.removed_at is null and c.state = 'live' and t.idle_ends_at < now() + interval '7 days'
	union all
	select 'secret', a.client_id, a.provider, a.datacenter, a.secret_ends_on::timestamp at time zone 'UTC'
	from vestal.app a where a.secret_ends_on < vestal.in_a_week()
)
select what, client_id, provider, datacenter, vestal.rfc3339(at), floor(extract(epoch from at - now()))::int8 from ending
where ($1::text is null or coalesce(client_id, $1) = $1) and ($2::text is null or provider = $2)
order by at, what, client_id, provider
