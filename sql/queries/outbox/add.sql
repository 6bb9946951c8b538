-- role:   worker refresher
-- params: $1 text message_id, $2 text kind, $3 int8 incident or null, $4 int8 connection or null, $5 jsonb payload
-- rows:   0
insert into vestal.outbox (message_id, kind, incident_id, connection_id, payload) values ($1, $2, $3, $4, $5::jsonb)
on conflict (message_id) do nothing
