-- role:   worker refresher
-- params: $1 int8 gate, $2 text resolved_by
-- rows:   0..1 of id, seconds to recover
update vestal.incident set state = 'resolved', resolved_at = now(), resolved_by = $2
where provider_state_id = $1 and resolved_at is null
returning id, round(extract(epoch from now() - impact_start))::int8
