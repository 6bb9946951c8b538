-- role:   worker
-- params: $1 int8 connection, $2 int8 generation, $3 bytea access_sealed, $4 bytea refresh_sealed or null, $5 text access_fingerprint, $6 text refresh_fingerprint or null, $7 text token_type, $8 int8 lifetime_s or null, $9 int8 grant_ttl_s or null, $10 int8 idle_ttl_s or null, $11 int8 age_s, $12 int8 generation in history whose grant goes on, or null
-- rows:   1 of expires_at
-- why:    life counts from before the provider was asked: $11 seconds ago, on the database's clock; a grant that goes on ends when it would have
insert into vestal.token (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,
	refresh_fingerprint, token_type, issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at)
select $1, $2, $3, $4, $5, $6, $7, asked.at, asked.at + make_interval(secs => $8::int8), asked.at,
	coalesce((select h.grant_ends_at from vestal.token_history h where h.connection_id = $1 and h.generation = $12),
		asked.at + make_interval(secs => $9::int8)), asked.at + make_interval(secs => $10::int8)
from (select now() - make_interval(secs => $11::int8) as at) asked
returning vestal.rfc3339(expires_at)
