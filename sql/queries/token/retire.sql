-- role:   worker
-- params: $1 int8 connection, $2 text ended_by, $3 text actor, $4 text reason or null
-- rows:   0..1 of generation, access_fingerprint
-- why:    with everything that it takes to bring it back; while a renewal is on its way, or its answer was lost, the
--         provider may have replaced the refresh token
with gone as (delete from vestal.token where connection_id = $1 returning *)
insert into vestal.token_history (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,
	refresh_fingerprint, token_type, issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at,
	ended_by, ended_actor, ended_reason, app_id, datacenter, api_domain, scope, kept, passive, spent)
select g.connection_id, g.generation, g.access_sealed, g.refresh_sealed, g.access_fingerprint, g.refresh_fingerprint,
	g.token_type, g.issued_at, g.expires_at, g.granted_at, g.grant_ends_at, g.idle_ends_at, $2, $3, $4,
	c.app_id, c.datacenter, c.api_domain, c.scope, c.kept, c.passive, c.ambiguous_at is not null or c.lease_owner is not null
from gone g join vestal.connection c on c.id = g.connection_id
returning generation, access_fingerprint
