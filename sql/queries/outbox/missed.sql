-- role:   refresher
-- params: $1 int8 seconds that two runs may be apart
-- rows:   0
-- why:    told by the first run after the pause
insert into vestal.outbox (message_id, kind, payload)
select 'refresher-' || r.id, 'refresher.missed', json_build_object('before', vestal.rfc3339(r.before),
	'startedAt', vestal.rfc3339(r.started_at), 'host', r.host)
from (select n.id, n.host, n.started_at, lag(n.started_at) over (order by n.started_at) as before from vestal.refresh_run n
	where n.started_at > now() - interval '30 days') r
where r.started_at - r.before > make_interval(secs => $1::int8) and r.started_at > now() - interval '1 day'
on conflict (message_id) do nothing
