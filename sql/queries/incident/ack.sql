-- role:   worker operator
-- params: $1 int8 incident, $2 text by whom, $3 text note or null
-- rows:   0..1 of id
-- why:    none: it is over, or somebody has taken it on already; the first one's time counts
update vestal.incident set state = case when state = 'recovering' then state else 'acknowledged' end,
	acknowledged_at = coalesce(acknowledged_at, now()), acknowledged_by = $2, note = coalesce($3, note),
	remind_at = greatest(remind_at, now() + interval '1 day')
where id = $1 and (state in ('suspected', 'open') or (state = 'recovering' and acknowledged_at is null)) returning id
