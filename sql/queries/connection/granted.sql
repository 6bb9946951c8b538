-- role:   worker
-- params: $1 int8 connection, $2 int8 app, $3 text datacenter, $4 text api_domain or null, $5 text scope or null, $6 jsonb kept, $7 int8 generation, $8 text cause, $9 int8 renew_before_s, $10 int8 refresh_period_s, $11 text account_fingerprint or null, $12 bool passive
-- rows:   1 of next refresh or null
-- why:    the margin is never more than a third of the real life; what cannot be renewed, or is renewed by
--         its old owner, is never due; where a connection lives is known to the gates
with gate as (
	insert into vestal.provider_state (provider, datacenter) select c.provider, $3 from vestal.connection c where c.id = $1
	on conflict (provider, datacenter, app_id) do nothing
)
update vestal.connection c set app_id = $2, datacenter = $3, api_domain = $4, scope = $5, kept = $6::jsonb,
	account_fingerprint = coalesce($11, c.account_fingerprint), last_generation = $7, state = 'live', cause = $8,
	failures = 0, refusals = 0, ambiguous_at = null, deferred_by = null, last_refreshed_at = now(),
	last_proved_at = now(), passive = $12::bool, undistributed = true,
	next_refresh_at = due.at, overdue_at = due.at + make_interval(secs => 2 * $10::int8)
from vestal.token t,
	lateral (select least($9::int8, extract(epoch from t.expires_at - t.issued_at) / 3) as s) margin,
	lateral (select case when t.refresh_sealed is not null and not $12::bool then
		least(t.expires_at - make_interval(secs => margin.s * (1 + 0.1 * random())),
			t.idle_ends_at - least(interval '7 days', (t.idle_ends_at - t.issued_at) / 2)) end as at) due
where c.id = $1 and t.connection_id = c.id
returning vestal.rfc3339(c.next_refresh_at)
