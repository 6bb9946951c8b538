-- role:   worker refresher
-- params: $1 jsonb failures as an array (fcgi/store/renewal.c), $2 text host, $3 text program, $4 text request_id, $5 text run_id, $6 text actor, $7 text actor_auth, $8 text address
-- rows:   n of connection, whether it counts: nothing has replaced the token since
-- why:    the row is looked at again before anything is said of a token, and the token is locked, because whoever waited
--         for the connection would else look at the one of before; whoever waits for the renewal is told that it is over.
--         Written again, because the answer to the first commit was lost, it changes nothing
with outcome as (
	select * from jsonb_to_recordset($1::jsonb) as x (id int8, fence int8, "from" int8, state text, cause text, wait_s int8,
		deferred_by text, refusals int4, ambiguous bool, asked bool, code text, why text)
), held as (
	select c.id, c.client_id, c.provider, c.fence, c.lease_owner, c.removed_at from vestal.connection c
	where c.id in (select id from outcome) order by c.id for update
), there as (
	select t.connection_id as id, t.generation, t.access_fingerprint
	from held h join vestal.token t on t.connection_id = h.id for update of t
), judged as (
	select o.*, h.client_id, h.provider, h.fence = o.fence and h.lease_owner is not null as mine, t.access_fingerprint,
		h.fence = o.fence and h.lease_owner is null as is_repeated,
		h.fence = o.fence and h.lease_owner is not null and h.removed_at is null and t.generation is not distinct from o."from" as counts
	from outcome o join held h on h.id = o.id left join there t on t.id = o.id
), changed as (
	update vestal.connection c set
		state = case when j.counts then j.state else c.state end,
		cause = case when j.counts then j.cause else c.cause end,
		failures = case when j.counts then c.failures + 1 else c.failures end,
		refusals = case when j.counts then j.refusals else c.refusals end,
		ambiguous_at = case when j.counts and j.ambiguous then coalesce(c.ambiguous_at, now()) else c.ambiguous_at end,
		last_error_code = case when j.counts then j.code else c.last_error_code end,
		last_error_at = case when j.counts then now() else c.last_error_at end,
		next_refresh_at = case when j.counts then now() + make_interval(secs => j.wait_s) else c.next_refresh_at end,
		deferred_by = case when j.counts then j.deferred_by else c.deferred_by end,
		mints = case when j.asked then c.mints else c.mints[:cardinality(c.mints) - 1] end,
		lease_owner = null, lease_until = null
	from judged j where c.id = j.id and j.mine
	returning c.id
), noted as (
	insert into vestal.audit_event (host, program, request_id, run_id, actor, actor_auth, address, action, outcome,
		client_id, provider, connection_id, generation, fingerprint, reason, detail_text)
	select $2, $3, $4, $5, $6, $7, $8, 'token.renewal_failed', 'error', client_id, provider, id, "from",
		access_fingerprint, code, json_build_object('why', why, 'attempt', fence, 'cause', cause, 'counts', counts)::text
	from judged where not is_repeated
)
select j.id, j.counts, pg_notify('vestal_renewal', j.id::text)::text from judged j left join changed c on c.id = j.id
order by j.id
