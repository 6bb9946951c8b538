-- role:   refresher
-- params: $1 int8 limit, $2 int8 seconds of the lease
-- rows:   n of a message each (fcgi/store/outbox.c)
-- why:    whoever claims it sends it; a lease that ran out is of a process that is gone. What is told is how things are now
with chosen as (
	select p.id from vestal.outbox p
	where p.sent_at is null and p.withdrawn_at is null and p.next_attempt_at <= now()
		and (p.claimed_until is null or p.claimed_until <= now())
	order by p.id limit $1 for update skip locked
), claimed as (
	update vestal.outbox o set claimed_until = now() + make_interval(secs => $2::int8), attempts = o.attempts + 1
	from chosen where o.id = chosen.id returning o.*
)
select o.id, o.message_id, o.kind, extract(epoch from o.created_at)::int8, o.attempts, o.payload::text, i.id, i.state, i.cause, i.reason,
	i.flaps, c.id, c.client_id, k.name, coalesce(c.provider, s.provider), coalesce(c.datacenter, s.datacenter),
	s.app_id is not null, r.status,
	coalesce(r.action, case i.cause when 'app_credentials' then 'fix_app' when 'provider_outage' then 'wait'
		when 'rate_limited' then 'wait' else 'investigate' end),
	coalesce(r.owner, case i.cause when 'provider_outage' then 'provider' when 'rate_limited' then 'provider'
		else 'operator' end),
	vestal.rfc3339(i.opened_at), vestal.rfc3339(case when i.impact_start <= coalesce(i.resolved_at, now()) then i.impact_start end),
	vestal.rfc3339(i.acknowledged_at), i.acknowledged_by, vestal.rfc3339(i.resolved_at), i.resolved_by,
	(select count(*) from vestal.incident n where n.parent_id = i.id)
from claimed o left join vestal.incident i on i.id = o.incident_id
	left join vestal.connection c on c.id = coalesce(o.connection_id, i.connection_id)
	left join vestal.client k on k.id = c.client_id
	left join vestal.provider_state s on s.id = i.provider_state_id
	left join vestal.connection_report r on r.id = c.id
order by o.id
