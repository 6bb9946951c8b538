-- role:   worker refresher
-- params: $1 int8[] connections, $2 text resolved_by
-- rows:   n of connection, id, seconds to recover, how often it came back, parent or null
-- why:    recovered is what is proved: a connection that is refused, missing or in doubt is not, whatever its files hold, nor is
--         one whose health is still bad, but for its app, which has an incident of its own, or a new grant that is short; of one
--         that was taken away nothing is left to recover. While a person is on the way to authorize it anew, an ordinary
--         renewal is not what the incident waits for; a grant's time is whole seconds before it came
update vestal.incident i set state = 'resolved', resolved_at = now(), resolved_by = $2,
	recovering_at = coalesce(i.recovering_at, now())
from vestal.connection c left join vestal.token t on t.connection_id = c.id
where i.connection_id = any ($1) and i.resolved_at is null and c.id = i.connection_id
	and (c.removed_at is not null or (c.state = 'live' and c.cause in ('none', 'scope_missing')
		and exists (select from vestal.connection_report r where r.id = c.id and (r.status = 'healthy'
			or r.cause = 'app_credentials' or (r.status = 'expiring' and t.granted_at > coalesce(i.opened_at, i.detected_at) - interval '2 seconds')))))
	and (t.granted_at > coalesce(i.opened_at, i.detected_at) - interval '2 seconds' or not exists (select from vestal.authorization_attempt a
		where a.incident_id = i.id and a.ended_at is null and a.expires_at > now()))
returning i.connection_id, i.id, greatest(0, round(extract(epoch from now() - least(i.impact_start, i.detected_at))))::int8,
	i.flaps, i.parent_id
