-- role:   worker refresher operator
-- params: $1 text message_id, $2 text kind, $3 int8 incident, $4 int8 connection or null, $5 jsonb payload, $6 int8 seconds to hold it back
-- rows:   0
-- why:    nobody is told of a suspicion, nor of what never worked; of many that opened together one speaks, unless people know of this one already
insert into vestal.outbox (message_id, kind, incident_id, connection_id, payload, next_attempt_at)
select $1, $2, i.id, $4, $5::jsonb, now() + make_interval(secs => $6::int8)
from vestal.incident i
where i.id = $3 and not i.quiet and i.opened_at is not null and (i.parent_id is null
	or exists (select from vestal.outbox o where o.incident_id = i.id and o.sent_at is not null))
on conflict (message_id) do nothing
