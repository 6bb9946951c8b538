-- role:   refresher
-- params: $1 int8 days after which nobody needs to know any more
-- rows:   0
-- why:    what is not true any more is not told: a recovery that did not last, a reminder of what is over; nor what another one
--         speaks for
update vestal.outbox o set withdrawn_at = now()
where o.sent_at is null and o.withdrawn_at is null and (o.claimed_until is null or o.claimed_until <= now())
	and (o.created_at < now() - make_interval(days => $1::int8::int4)
		or exists (select from vestal.incident i where i.id = o.incident_id and (
			(o.kind = 'incident.resolved' and (i.resolved_at is null or i.flaps <> coalesce((o.payload ->> 'flaps')::int4, 0)))
			or (o.kind = 'incident.reminder' and i.resolved_at is not null)
			or (i.parent_id is not null and not exists (select from vestal.outbox t
				where t.incident_id = i.id and t.sent_at is not null)))))
