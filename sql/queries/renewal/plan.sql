-- role:   refresher
-- params: $1 bool all, $2 text client or null, $3 text provider or null
-- rows:   n of client, provider, what would be done (renew, settle, wait), why, seconds overdue, seconds until it could be done or null when it need not wait, cause
-- why:    what a run would do and why, without doing it
select c.client_id, c.provider,
	case when held.why is not null then 'wait' when c.state = 'quarantined' then 'settle' else 'renew' end,
	coalesce(held.why, case when c.next_refresh_at <= now() then 'due' else 'all' end),
	greatest(0, extract(epoch from now() - c.next_refresh_at))::int8, case when held.why is not null then held.s end, c.cause
from vestal.connection c
	join vestal.token t on t.connection_id = c.id and t.refresh_sealed is not null
	left join vestal.provider_state p on p.provider = c.provider and p.datacenter = c.datacenter and p.app_id is null
	left join vestal.provider_state a on a.provider = c.provider and a.datacenter = c.datacenter and a.app_id = c.app_id,
	lateral (select case
		when c.lease_until > now() then 'leased'
		when a.state <> 'closed' and a.retry_at > now() then 'app_gate'
		when p.state <> 'closed' and p.retry_at > now() then 'provider_gate'
		when c.next_refresh_at > now() and (not $1 or c.deferred_by in ('quota', 'rate', 'refusal')) then c.deferred_by
		end as why,
		vestal.seconds_left(case
		when c.lease_until > now() then c.lease_until
		when a.state <> 'closed' and a.retry_at > now() then a.retry_at
		when p.state <> 'closed' and p.retry_at > now() then p.retry_at
		else c.next_refresh_at end) as s) held
where c.removed_at is null and not c.passive and c.next_refresh_at is not null
	and ($1::bool or c.next_refresh_at <= now() or (c.deferred_by = 'gate'))
	and ($2::text is null or c.client_id = $2) and ($3::text is null or c.provider = $3)
order by c.next_refresh_at, c.id
