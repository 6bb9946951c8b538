-- role:   worker refresher
-- params: $1 int8 connection, $2 text cause, $3 text opened_by, $4 text reason or null
-- rows:   1 of id, whether it is new
-- why:    an open incident of the connection goes on
insert into vestal.incident (connection_id, cause, opened_by, reason) values ($1, $2, $3, $4)
on conflict (connection_id) where resolved_at is null do update set cause = incident.cause
returning id, xmax = 0
