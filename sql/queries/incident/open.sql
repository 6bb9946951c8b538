-- role:   worker refresher
-- params: $1 int8 connection, $2 text cause, $3 text opened_by, $4 text reason or null, $5 bool only suspected, $6 int8 quiet time in seconds
-- rows:   0..1 of id, whether it opened now, how often it came back, whether it is new and only suspected
-- why:    an open incident of the connection goes on; one that was over for less than the quiet time comes back, unless a person
--         began this one or that; a suspicion opens when it is confirmed, and is none so soon after the last incident
with last as (
	select l.id, l.resolved_at > now() - make_interval(secs => $6::int8) as is_young,
		array[l.cause, $2] && array['none', 'removed', 'never_connected'] as is_ours
	from vestal.incident l where l.connection_id = $1 order by l.id desc limit 1
), impact as (
	select case when t.connection_id is null or $2 = 'sealed_unreadable' then now() else t.expires_at end as at
	from (values (1)) one left join vestal.token t on t.connection_id = $1
), again as (
	update vestal.incident i set state = 'open', cause = $2, reason = coalesce($4, i.reason), resolved_at = null, resolved_by = null,
		recovering_at = null, flaps = i.flaps + 1, opened_at = coalesce(i.opened_at, now()),
		impact_start = case when i.impact_start <= i.resolved_at then i.impact_start else (select at from impact) end
	from last where i.id = last.id and last.is_young and not last.is_ours and not $5 and i.resolved_at is not null
	returning i.id, i.flaps
), fresh as (
	insert into vestal.incident as i (connection_id, cause, opened_by, reason, state, opened_at, quiet, impact_start)
	select c.id, $2, $3, $4, case when $5 then 'suspected' else 'open' end, case when not $5 then now() end,
		c.last_generation = 0, impact.at
	from vestal.connection c, impact
	where c.id = $1 and not exists (select from again) and not ($5 and exists (select from last where is_young))
	on conflict (connection_id) where resolved_at is null do update set
		state = case when $5 then i.state when i.state = 'suspected' then 'open' when i.state <> 'recovering' then i.state
			when i.acknowledged_at is not null then 'acknowledged' else 'open' end,
		cause = case when i.opened_at is null then excluded.cause else i.cause end,
		reason = case when i.opened_at is null then excluded.reason else i.reason end,
		opened_at = coalesce(i.opened_at, excluded.opened_at), impact_start = least(i.impact_start, excluded.impact_start)
	returning i.id, i.flaps, i.xmax = 0 as is_new, i.opened_at
)
select id, true, flaps, false from again
union all
select id, coalesce(opened_at = now(), false), flaps, is_new and opened_at is null from fresh
