-- role:   worker refresher
-- params: $1 int8 gate, $2 text resolved_by
-- rows:   0..1 of id, seconds to recover, how often it came back
-- why:    it speaks for those it was opened for, and is not over before they are
update vestal.incident i set state = 'resolved', resolved_at = now(), resolved_by = $2,
	recovering_at = coalesce(i.recovering_at, now())
where i.provider_state_id = $1 and i.resolved_at is null
	and not exists (select from vestal.incident n where n.parent_id = i.id and n.resolved_at is null)
returning i.id, greatest(0, round(extract(epoch from now() - least(i.impact_start, i.detected_at))))::int8, i.flaps
