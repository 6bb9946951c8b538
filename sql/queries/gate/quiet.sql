-- role:   refresher
-- params: $1 int8 seconds without a refused grant
-- rows:   n of gate, provider, datacenter, app or null
-- why:    gates that have an open incident and no reason for it any more
select s.id, s.provider, s.datacenter, s.app_id
from vestal.provider_state s join vestal.incident i on i.provider_state_id = s.id and i.resolved_at is null
where s.state = 'closed'
	and not exists (select from unnest(s.deaths) d where d > now() - make_interval(secs => $1::int8))
