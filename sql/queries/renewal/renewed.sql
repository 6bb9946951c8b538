-- role:   worker refresher
-- params: $1 jsonb renewals as an array (fcgi/store/renewal.c), $2 text host, $3 text program, $4 text request_id, $5 text run_id, $6 text actor, $7 text actor_auth, $8 text address
-- rows:   n of connection, what became of it: renewed, repeated (it was stored before), superseded (something newer is there)
-- why:    only over the very generation the renewal started from; token, schedule, lease, event and announcement are one
--         commit; a lease that somebody else has taken over since stays his. The token is locked too, because whoever
--         waited for the connection would else look at the token of before. History may hold the refresh token that was
--         replaced, too: no undo sends it then
with answer as (
	select * from jsonb_to_recordset($1::jsonb) as x (id int8, fence int8, "from" int8, "to" int8, access text,
		refresh text, access_fp text, refresh_fp text, type text, life int8, refresh_life int8, idle int8,
		asked_at timestamptz, api_domain text, scope text, scope_is text, margin int8, late int8, why text)
), held as (
	select c.id, c.client_id, c.provider, c.last_generation, c.removed_at from vestal.connection c
	where c.id in (select id from answer) order by c.id for update
), there as (
	select h.*, t.generation, t.access_fingerprint, t.refresh_fingerprint from held h join vestal.token t on t.connection_id = h.id for update of t
), stored as (
	update vestal.token t set generation = a."to", access_sealed = decode(a.access, 'hex'),
		refresh_sealed = decode(a.refresh, 'hex'), access_fingerprint = a.access_fp, refresh_fingerprint = a.refresh_fp,
		token_type = a.type, issued_at = a.asked_at, expires_at = a.asked_at + make_interval(secs => a.life),
		grant_ends_at = coalesce(a.asked_at + make_interval(secs => a.refresh_life), t.grant_ends_at),
		idle_ends_at = a.asked_at + make_interval(secs => a.idle)
	from answer a join there h on h.id = a.id
	where t.connection_id = h.id and h.generation = a."from" and h.last_generation = a."to" - 1 and h.removed_at is null
	returning t.connection_id as id, t.expires_at, t.issued_at, t.idle_ends_at
), spent as (
	update vestal.token_history y set spent = true from answer a join stored s on s.id = a.id join there h on h.id = a.id
	where y.connection_id = h.id and y.refresh_fingerprint = h.refresh_fingerprint
		and a.refresh_fp is distinct from h.refresh_fingerprint and not y.spent
), scheduled as (
	update vestal.connection c set last_generation = a."to", state = 'live', failures = 0, refusals = 0,
		ambiguous_at = null, deferred_by = null, undistributed = true, last_refreshed_at = now(), last_proved_at = now(),
		api_domain = coalesce(a.api_domain, c.api_domain), scope = coalesce(a.scope, c.scope),
		cause = case when a.scope_is = 'shrunk' or (c.cause = 'scope_missing' and a.scope_is = 'unsaid')
			then 'scope_missing' else 'none' end,
		next_refresh_at = due.at, overdue_at = due.at + make_interval(secs => a.late),
		lease_owner = case when c.fence > a.fence then c.lease_owner end,
		lease_until = case when c.fence > a.fence then c.lease_until end
	from answer a join stored s on s.id = a.id,
		lateral (select least(a.margin, extract(epoch from s.expires_at - s.issued_at) / 3) as s) margin,
		lateral (select least(s.expires_at - make_interval(secs => margin.s * (1 + 0.1 * random())),
			s.idle_ends_at - least(interval '7 days', (s.idle_ends_at - s.issued_at) / 2)) as at) due
	where c.id = a.id
	returning c.id
), freed as (
	update vestal.connection c set lease_owner = null, lease_until = null from answer a
	where c.id = a.id and c.fence = a.fence and c.id not in (select id from stored)
	returning c.id
), judged as (
	select a.*, h.client_id, h.provider, case when s.id is not null then 'renewed'
		when t.generation = a."to" and t.access_fingerprint = a.access_fp then 'repeated' else 'superseded' end as what
	from answer a join held h on h.id = a.id left join there t on t.id = a.id left join stored s on s.id = a.id
), noted as (
	insert into vestal.audit_event (host, program, request_id, run_id, actor, actor_auth, address, action, outcome,
		client_id, provider, connection_id, generation, fingerprint, detail_text)
	select $2, $3, $4, $5, $6, $7, $8, case what when 'renewed' then 'token.renewed' else 'token.superseded' end, 'ok',
		client_id, provider, id, "to", access_fp, json_build_object('why', why, 'attempt', fence)::text
	from judged where what <> 'repeated'
)
select j.id, j.what, case when j.what = 'renewed' then pg_notify('vestal_token',
	json_build_object('clientId', j.client_id, 'provider', j.provider, 'generation', j."to")::text)::text end
from judged j left join scheduled c on c.id = j.id left join freed f on f.id = j.id
order by j.id
