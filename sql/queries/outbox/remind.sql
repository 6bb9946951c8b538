-- role:   refresher
-- params: none
-- rows:   0
-- why:    again after one hour, two, four, at most a day; once a day when somebody has taken it on
with due as (
	update vestal.incident i set reminders = i.reminders + 1, remind_at = now() + case when i.state = 'acknowledged'
		then interval '1 day' else least(interval '1 day', interval '1 hour' * 2 ^ least(i.reminders + 1, 10)) end
	where i.resolved_at is null and i.remind_at <= now() and i.opened_at is not null and not i.quiet and i.parent_id is null
	returning i.id, i.connection_id, i.reminders
)
insert into vestal.outbox (message_id, kind, incident_id, connection_id)
select 'incident-' || d.id || '-incident.reminder-' || d.reminders, 'incident.reminder', d.id, d.connection_id from due d
on conflict (message_id) do nothing
