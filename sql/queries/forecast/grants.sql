-- role:   refresher operator
-- params: $1 text client or null, $2 text provider or null
-- rows:   n of client, provider, grants in use, grants that were replaced and may still live at the provider
-- why:    a provider counts the refresh tokens of a user and an app, and silently ends the oldest beyond its cap. A replaced
--         one lives on unless it was removed, which revokes it; one that the provider ended first is counted all the same
select c.client_id, min(c.provider), count(distinct t.refresh_fingerprint),
	count(distinct h.refresh_fingerprint) filter (where h.refresh_fingerprint is distinct from t.refresh_fingerprint)
from vestal.connection c join vestal.app a on a.id = c.app_id
	left join vestal.token t on t.connection_id = c.id
	left join vestal.token_history h on h.connection_id = c.id and h.ended_by not in ('token.removed', 'token.revoked')
where c.removed_at is null and ($1::text is null or c.client_id = $1)
group by c.client_id, a.oauth_client_id
having count(distinct t.refresh_fingerprint) + count(distinct h.refresh_fingerprint) > 1
	and ($2::text is null or $2 = any (array_agg(c.provider)))
order by 1, 2
