-- role:   refresher operator
-- params: $1 text client or null, $2 text provider or null
-- rows:   n of client, provider, grants in use, grants that were replaced and may still live at the provider
-- why:    a provider counts the refresh tokens of a user and an app, and silently ends the oldest beyond its cap. Whose they
--         are is told by the pinned account, else by the client; the larger count of both is the safer one. A replaced one
--         lives on unless it was removed, which revokes it; one that the provider ended first is counted all the same
with held as (
	select c.client_id, c.provider, c.account_fingerprint, a.oauth_client_id, t.refresh_fingerprint as in_use,
		case when h.refresh_fingerprint is distinct from t.refresh_fingerprint then h.refresh_fingerprint end as replaced
	from vestal.connection c join vestal.app a on a.id = c.app_id
		left join vestal.token t on t.connection_id = c.id
		left join vestal.token_history h on h.connection_id = c.id and h.ended_by not in ('token.removed', 'token.revoked')
	where c.removed_at is null
), counted as (
	select client_id, min(provider) as provider, count(distinct in_use) as in_use, count(distinct replaced) as replaced,
		array_agg(provider) as providers
	from held where $1::text is null or client_id = $1 group by oauth_client_id, client_id
	union all
	select coalesce($1, min(client_id)), min(provider), count(distinct in_use), count(distinct replaced), array_agg(provider)
	from held where account_fingerprint is not null group by oauth_client_id, account_fingerprint
	having $1::text is null or $1 = any (array_agg(client_id))
)
select distinct on (client_id, provider) client_id, provider, in_use, replaced from counted
where in_use + replaced > 1 and ($2::text is null or $2 = any (providers))
order by client_id, provider, in_use + replaced desc
