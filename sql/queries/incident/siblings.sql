-- role:   worker refresher
-- params: $1 int8 incident, $2 int8 seconds
-- rows:   0..1 of who speaks already or null, gate or null, datacenter, how many opened at the provider within these seconds
-- why:    an open gate speaks for all behind it; else many that opened together have one that speaks. What a person began is
--         no sign of trouble elsewhere
select (select p.id from vestal.incident p join vestal.provider_state s on s.id = p.provider_state_id
		where p.resolved_at is null and s.provider = c.provider
			and ((s.datacenter = c.datacenter and (s.app_id is null or s.app_id = c.app_id))
				or exists (select from vestal.incident n where n.parent_id = p.id))
		order by s.app_id nulls first, p.id limit 1),
	g.id, c.datacenter,
	(select count(*) from vestal.incident o join vestal.connection k on k.id = o.connection_id
		where k.provider = c.provider and o.opened_at > now() - make_interval(secs => $2::int8) and o.resolved_at is null
			and not o.quiet and o.cause not in ('none', 'removed', 'never_connected'))
from vestal.incident i join vestal.connection c on c.id = i.connection_id
	left join vestal.provider_state g on g.provider = c.provider and g.datacenter = c.datacenter and g.app_id is null
where i.id = $1 and i.opened_at is not null and i.parent_id is null and not i.quiet
	and i.cause not in ('none', 'removed', 'never_connected')
