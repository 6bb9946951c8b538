-- role:   worker refresher
-- params: $1 int8[] connections, $2 text lease_owner, $3 int8 lease_s, $4 text why (due, all, read, rejected, admin, check), $5 int8 generation that is meant or null
-- rows:   0..n of a claim each (fcgi/store/renewal.h)
-- why:    whoever holds the lease alone asks the provider; whoever waited for the row looks at it again, and because of
--         the lock at its token too: a refresh token that was spent meanwhile must never be sent. Of those that a
--         run looks for, what somebody holds is left for later. A lease that nobody gave back may have ended in a request whose answer is lost
with mine as (
	select c.id from vestal.connection c where c.id = any ($1::int8[]) and $4 in ('due', 'all') for update skip locked
), free as (
	select c.id, t.generation, t.refresh_sealed, least(t.grant_ends_at, t.idle_ends_at) <= now() as grant_over,
		t.expires_at > now() as lives
	from vestal.connection c join vestal.token t on t.connection_id = c.id
	where c.id = any ($1::int8[]) and ($4 not in ('due', 'all') or c.id in (select id from mine))
		and c.removed_at is null and not c.passive and c.next_refresh_at is not null
		and t.refresh_sealed is not null and ($5::int8 is null or t.generation = $5)
		and (c.lease_until is null or c.lease_until <= now())
		and case $4
			when 'due' then c.next_refresh_at <= now()
			else c.next_refresh_at <= now() or c.deferred_by is null or c.deferred_by not in ('quota', 'rate', 'refusal')
		end
		and case when $4 in ('read', 'rejected', 'admin', 'check') then c.state = 'live' else true end
		and case when $4 = 'read' or ($4 = 'rejected' and c.failing)
			then c.tried_at is null or c.tried_at <= now() - interval '30 seconds' else true end
	order by c.id for update of c, t
), claimed as (
	update vestal.connection c set fence = c.fence + 1, lease_owner = $2,
		lease_until = now() + make_interval(secs => $3::int8), tried_at = now(),
		ambiguous_at = case when c.lease_owner is not null then coalesce(c.ambiguous_at, now()) else c.ambiguous_at end,
		mints = c.mints[greatest(1, cardinality(c.mints) - 30):] || now()
	from free where c.id = free.id
	returning c.*, free.generation, free.refresh_sealed, free.grant_over, free.lives
)
select c.id, c.client_id, c.provider, c.datacenter, c.app_id, c.api_domain, c.scope, c.fence, c.last_generation,
	c.generation, c.refresh_sealed, c.state, c.cause, c.failures, c.refusals, c.ambiguous_at is not null,
	coalesce(c.grant_over, false), coalesce(c.lives, true), c.tried_at::text,
	array(select floor(extract(epoch from now() - m))::int8 from unnest(c.mints[:cardinality(c.mints) - 1]) m)::text,
	p.id, p.state, vestal.seconds_left(p.retry_at), p.version, g.id, g.state, vestal.seconds_left(g.retry_at)
from claimed c
	left join vestal.provider_state p on p.provider = c.provider and p.datacenter = c.datacenter and p.app_id is null
	left join vestal.provider_state g on g.provider = c.provider and g.datacenter = c.datacenter and g.app_id = c.app_id
order by array_position($1::int8[], c.id)
