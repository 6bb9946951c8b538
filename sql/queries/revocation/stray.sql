-- role:   worker refresher
-- params: $1 int8 connection, $2 int8 generation that was removed, $3 int8 generation that would have followed, $4 bytea access_sealed, $5 bytea refresh_sealed, $6 text access_fingerprint, $7 text refresh_fingerprint, $8 text token_type
-- rows:   0..1 of generation
-- why:    a renewal that was on its way when its token was removed brought another refresh token, which the revocation of
--         the old one may not reach: it is revoked too. Unless another token has the place it was sealed for by now
with removed as (
	select h.* from vestal.connection c join vestal.token_history h on h.connection_id = c.id
	where c.id = $1 and h.generation = $2 and h.revocation is not null and h.refresh_fingerprint is distinct from $7
		and c.last_generation + 1 = $3
	for update of c
), counted as (
	update vestal.connection c set last_generation = $3 from removed where c.id = removed.connection_id
)
insert into vestal.token_history (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,
	refresh_fingerprint, token_type, issued_at, granted_at, ended_by, ended_actor, ended_reason, app_id, datacenter,
	api_domain, scope, kept, revocation, revoke_since, revoke_due_at)
select connection_id, $3::int8, $4, $5, $6, $7, $8, now(), granted_at, ended_by, ended_actor, ended_reason, app_id,
	datacenter, api_domain, scope, kept, 'pending', now(), now() from removed
returning generation
