-- role:   worker operator
-- params: $1 int8 connection, $2 text resolved_by
-- rows:   0..1 of id, seconds since its first moment, how often it came back
-- why:    whatever the state: what it was about is not there any more
update vestal.incident set state = 'resolved', resolved_at = now(), resolved_by = $2
where connection_id = $1 and resolved_at is null
returning id, greatest(0, round(extract(epoch from now() - least(impact_start, detected_at))))::int8, flaps
