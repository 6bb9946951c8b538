-- role:   refresher
-- params: $1 int8 seconds a flow may take, $2 int8 days an ended one is kept, $3 int8 how many of each at most, $4 text host, $5 text program, $6 text request_id, $7 text run_id, $8 text actor, $9 text actor_auth, $10 text address
-- rows:   1 of how many expired, were lost, were forgotten, had a kept token wiped
-- why:    what nobody came back for, and what a worker began and did not live to end; whoever meets another run leaves it
--         what that one has in hand
with unused as (
	select id from vestal.authorization_attempt
	where ended_at is null and expires_at < now() - interval '1 hour'
	order by expires_at limit $3 for update skip locked
), expired as (
	update vestal.authorization_attempt a set ended_at = now(), outcome = 'expired' from unused u where a.id = u.id
	returning a.id
), orphaned as (
	select id from vestal.authorization_attempt
	where outcome = 'begun' and ended_at < now() - make_interval(secs => $1::int8)
	order by ended_at limit $3 for update skip locked
), lost as (
	update vestal.authorization_attempt a set ended_at = now(), outcome = 'lost' from orphaned o where a.id = o.id
	returning a.id, a.connection_id, a.incident_id
), noted as (
	insert into vestal.audit_event (host, program, request_id, run_id, actor, actor_auth, address, action, outcome,
		client_id, provider, connection_id, incident_id, reason)
	select $4, $5, $6, $7, $8, $9, $10, 'authorize.failed', 'error', c.client_id, c.provider, c.id, l.incident_id, 'lost'
	from lost l join vestal.connection c on c.id = l.connection_id
), old as (
	select id from vestal.authorization_attempt
	where outcome <> 'begun' and ended_at < now() - make_interval(days => $2::int8::int4)
	order by ended_at limit $3 for update skip locked
), forgotten as (
	delete from vestal.authorization_attempt a using old o where a.id = o.id returning a.id
), over as (
	select id from vestal.authorization_attempt
	where held_sealed is not null and held_until < now() and not ended_at < now() - make_interval(days => $2::int8::int4)
	order by held_until limit $3 for update skip locked
), wiped as (
	update vestal.authorization_attempt a set held_sealed = null from over o where a.id = o.id returning a.id
)
select (select count(*) from expired), (select count(*) from lost), (select count(*) from forgotten),
	(select count(*) from wiped)
