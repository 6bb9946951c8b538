-- role:   worker refresher
-- params: $1 int8 gate, $2 text cause, $3 text opened_by, $4 text reason or null
-- rows:   1 of id, whether it is new
-- why:    an open incident of the gate goes on
insert into vestal.incident (provider_state_id, cause, opened_by, reason) values ($1, $2, $3, $4)
on conflict (provider_state_id) where resolved_at is null do update set cause = incident.cause
returning id, xmax = 0
