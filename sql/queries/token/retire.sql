-- role:   worker
-- params: $1 int8 connection, $2 text ended_by, $3 text actor, $4 text reason or null
-- rows:   0..1 of generation, access_fingerprint
with gone as (delete from vestal.token where connection_id = $1 returning *)
insert into vestal.token_history (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,
	refresh_fingerprint, token_type, issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at,
	ended_by, ended_actor, ended_reason)
select connection_id, generation, access_sealed, refresh_sealed, access_fingerprint, refresh_fingerprint, token_type,
	issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at, $2, $3, $4 from gone
returning generation, access_fingerprint
