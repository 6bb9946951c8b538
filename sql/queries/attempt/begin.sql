-- role:   worker
-- params: $1 bytea state_hash, $2 int8 connection, $3 int8 app, $4 int8 incident or null, $5 text kind, $6 text datacenter, $7 bytea verifier_sealed or null, $8 text actor, $9 int8 life_s
-- rows:   1 of expires_at
insert into vestal.authorization_attempt (state_hash, connection_id, app_id, incident_id, kind, datacenter,
	verifier_sealed, actor, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9::int8))
returning vestal.rfc3339(expires_at)
