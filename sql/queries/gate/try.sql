-- role:   worker refresher
-- params: $1 int8 gate, $2 int8 seconds a try may take
-- rows:   0..1 of gate: this caller, and nobody else, may try now
update vestal.provider_state set state = 'half_open', retry_at = now() + make_interval(secs => $2::int8)
where id = $1 and state <> 'closed' and (retry_at is null or retry_at <= now()) returning id
