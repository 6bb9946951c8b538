-- role:   worker
-- params: $1 int8 connection, $2 int8 generation that was just removed or null, $3 bool whether the provider replaces refresh tokens
-- rows:   n of generation, access_fingerprint, the newest first
-- why:    with the token goes what may still live of the connection's earlier grants; one token once, however often it was
--         kept; due at once, for whoever comes first
with living as (
	select distinct on (coalesce(refresh_fingerprint, access_fingerprint)) generation from vestal.token_history
	where connection_id = $1 and revocation is null and (generation = $2 or (app_id is not null and not (spent and $3)
		and (refresh_sealed is not null or coalesce(expires_at > now(), true))))
	order by coalesce(refresh_fingerprint, access_fingerprint), generation desc
), begun as (
	update vestal.token_history h set revocation = 'pending', revoke_since = now(), revoke_due_at = now()
	from living l where h.connection_id = $1 and h.generation = l.generation
	returning h.generation, h.access_fingerprint
)
select generation, access_fingerprint from begun order by generation desc
