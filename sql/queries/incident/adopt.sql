-- role:   worker refresher
-- params: $1 int8 parent, $2 int8 the one incident or null, $3 int8 seconds
-- rows:   0
-- why:    with null all that opened at the parent's provider within these seconds, but those somebody is just about to end
update vestal.incident set parent_id = $1
where id in (select i.id from vestal.incident p join vestal.provider_state s on s.id = p.provider_state_id
		join vestal.connection k on k.provider = s.provider join vestal.incident i on i.connection_id = k.id
	where p.id = $1 and i.resolved_at is null and i.parent_id is null and not i.quiet
		and i.cause not in ('none', 'removed', 'never_connected')
		and (i.id = $2 or ($2 is null and i.opened_at > now() - make_interval(secs => $3::int8)))
	for update of i skip locked)
