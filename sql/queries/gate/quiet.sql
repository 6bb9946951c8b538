-- role:   worker refresher
-- params: $1 int8 seconds without a refused grant
-- rows:   n of gate, provider, datacenter, app or null
-- why:    gates that have an open incident and no reason for it any more, nor anything they speak for; a check's outage is over for a connection with its next
--         renewal or proof
select s.id, s.provider, s.datacenter, s.app_id
from vestal.provider_state s join vestal.incident i on i.provider_state_id = s.id and i.resolved_at is null
where s.state = 'closed'
	and not exists (select from unnest(s.deaths) d where d > now() - make_interval(secs => $1::int8))
	and (s.app_id is not null or not exists (select from vestal.connection c
		where c.provider = s.provider and c.datacenter = s.datacenter and c.removed_at is null
			and c.state = 'live' and not c.passive and exists (select from vestal.token t where t.connection_id = c.id)
			and c.found = 'provider_outage' and c.found_at > c.last_refreshed_at))
	and not exists (select from vestal.incident n where n.parent_id = i.id and n.resolved_at is null)
