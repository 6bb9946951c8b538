-- role:   worker
-- params: $1 text client, $2 text provider, $3 int8[] generations the caller has, $4 int8 min_ttl_s, $5 bool strict, $6 text program, $7 text request_id, $8 text actor, $9 text actor_auth, $10 text address, $11 text user_agent, $12 text host, $13 bool a renewal may be tried first, $14 text id of the API key that has to be good still or null, $15 bytea its hash
-- rows:   0..1 of connection, generation, access_sealed or null, token_type, expires_at, seconds left or null, api_domain, datacenter, degraded, served, needs renewal
-- why:    one statement: the audit row and the token are one commit, and the token is not sent before it. What needs a
--         renewal that may be tried now, or is being tried, is not served yet and leaves no event. A key that was
--         recognised before is checked in the same trip: revoked, expired, from elsewhere or new today, it finds nothing
with found as (
	select c.id, t.generation, t.access_sealed, t.access_fingerprint, t.token_type, t.expires_at, c.api_domain,
		c.datacenter, c.state <> 'live' as doubtful,
		coalesce(t.expires_at < now() + make_interval(secs => $4::int8), false) as short,
		coalesce(t.generation = any ($3::int8[]), false) as is_known,
		t.generation is not null and (t.expires_at is null or t.expires_at > now()
			and not ($5 and t.expires_at < now() + make_interval(secs => $4::int8))) as is_good,
		case when not $13::bool or c.state <> 'live' or c.passive or c.next_refresh_at is null or t.refresh_sealed is null
			or t.expires_at is null or t.expires_at >= now() + make_interval(secs => $4::int8) then false
		when c.lease_until > now() then true
		when c.tried_at > now() - interval '30 seconds' then false
		when c.next_refresh_at > now() and c.deferred_by in ('quota', 'rate', 'refusal') then false
		else not exists (select from vestal.provider_state s where s.provider = c.provider
			and s.datacenter = c.datacenter and (s.app_id is null or s.app_id = c.app_id)
			and s.state <> 'closed' and s.retry_at > now())
		end as needs_renewal
	from vestal.connection c left join vestal.token t on t.connection_id = c.id
	where c.client_id = $1 and c.provider = $2 and c.removed_at is null
		and ($14::text is null or exists (select from vestal.api_key k where k.id = $14 and k.hash = $15
			and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
			and (k.addresses is null or $10::text::inet <<= any (k.addresses)) and k.last_used_on = current_date))
), noted as (
	insert into vestal.audit_event (host, program, request_id, actor, actor_auth, address, user_agent, action, outcome,
		client_id, provider, connection_id, generation, fingerprint, detail_text)
	select $12, $6, $7, $8, $9, $10, $11, 'token.read', 'ok', $1, $2, id, generation, access_fingerprint,
		json_build_object('degraded', doubtful or short, 'unchanged', is_known)::text
	from found where is_good and not needs_renewal
)
select id, generation, case when is_good and not needs_renewal and not is_known then access_sealed end, token_type,
	vestal.rfc3339(expires_at), vestal.seconds_left(expires_at), api_domain, datacenter, doubtful or short,
	is_good and not needs_renewal, needs_renewal
from found
