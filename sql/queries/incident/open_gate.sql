-- role:   worker refresher
-- params: $1 int8 gate, $2 text cause, $3 text opened_by, $4 text reason or null, $5 int8 quiet time in seconds
-- rows:   1 of id, whether it opened now, how often it came back
-- why:    an open incident of the gate goes on, one that was over for less than the quiet time comes back. Nobody misses a
--         token before the first of those that wait behind the gate runs out
with impact as (
	select min(t.expires_at) as at
	from vestal.provider_state s join vestal.connection c on c.provider = s.provider and c.datacenter = s.datacenter
			and (s.app_id is null or c.app_id = s.app_id) and c.removed_at is null and c.state = 'live'
		join vestal.token t on t.connection_id = c.id and (t.expires_at > now() or (c.failing and c.cause = $2))
	where s.id = $1
), again as (
	update vestal.incident i set state = 'open', cause = $2, reason = coalesce($4, i.reason), resolved_at = null, resolved_by = null,
		recovering_at = null, flaps = i.flaps + 1,
		impact_start = case when i.impact_start <= i.resolved_at then i.impact_start else (select at from impact) end
	where i.id = (select l.id from vestal.incident l where l.provider_state_id = $1 order by l.id desc limit 1)
		and i.resolved_at > now() - make_interval(secs => $5::int8)
	returning i.id, i.flaps
), fresh as (
	insert into vestal.incident as i (provider_state_id, cause, opened_by, reason, impact_start)
	select $1, $2, $3, $4, impact.at from impact where not exists (select from again)
	on conflict (provider_state_id) where resolved_at is null do update set cause = i.cause
	returning i.id, i.flaps, i.xmax = 0 as is_new
)
select id, true, flaps from again union all select id, is_new, flaps from fresh
