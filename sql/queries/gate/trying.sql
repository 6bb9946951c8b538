-- role:   refresher
-- params: $1 int8 seconds a try may take
-- rows:   n of gate, provider, datacenter, app
-- why:    apps whose gate may be tried; the caller is the only one who got them
with free as (
	select id from vestal.provider_state
	where app_id is not null and state <> 'closed' and (retry_at is null or retry_at <= now())
	order by id for update skip locked
)
update vestal.provider_state s set state = 'half_open', retry_at = now() + make_interval(secs => $1::int8)
from free where s.id = free.id
returning s.id, s.provider, s.datacenter, s.app_id
