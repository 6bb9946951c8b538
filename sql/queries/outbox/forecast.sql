-- role:   refresher
-- params: none
-- rows:   0
-- why:    a grant whose end nothing can move is told of 7, 3 and 1 day ahead
insert into vestal.outbox (message_id, kind, connection_id, payload)
select 'grant-' || c.id || '-' || extract(epoch from t.grant_ends_at)::int8 || '-' || d.days, 'grant.ends', c.id,
	json_build_object('endsAt', vestal.rfc3339(t.grant_ends_at), 'days', d.days)
from vestal.token t join vestal.connection c on c.id = t.connection_id and c.removed_at is null and c.state = 'live'
	join (values (0, 1), (1, 3), (3, 7)) d (after, days) on t.grant_ends_at > now() + make_interval(days => d.after)
		and t.grant_ends_at <= now() + make_interval(days => d.days)
where t.grant_ends_at > now() and t.grant_ends_at <= now() + interval '7 days'
on conflict (message_id) do nothing
