-- What an auditor reads. Views only, and never a sealed column, a salt or a hash of a credential.

create or replace view vestal.v_audit_event as
	select id, at, db_user, host, program, request_id, run_id, actor, actor_auth, address, user_agent, action,
		outcome, object_type, object_id, client_id, provider, connection_id, incident_id, generation, key_id,
		fingerprint, reason, severity, clock_ok, detail
	from vestal.audit_event;

create or replace view vestal.v_token_touch as
	select at, actor, actor_auth, address, action, outcome, client_id, provider, generation, fingerprint, reason,
		request_id, incident_id
	from vestal.audit_event where action like 'token.%';

create or replace view vestal.v_override as
	select at, actor, actor_auth, address, action, outcome, client_id, provider, generation, fingerprint, reason,
		incident_id, request_id, coalesce((detail ->> 'dryRun')::boolean, false) as dry_run
	from vestal.audit_event where action in ('token.override', 'token.override_refused', 'token.undone');

create or replace view vestal.v_login_failed as
	select at, actor, actor_auth, address, user_agent, outcome, reason, request_id, key_id, object_id as route
	from vestal.audit_event where action = 'auth.failed';

create or replace view vestal.v_service_access as
	select at, actor, actor_auth, address, outcome, client_id, provider, generation, request_id
	from vestal.audit_event where action = 'token.read';

create or replace view vestal.v_reauthorization as
	select at, actor, actor_auth, address, action, outcome, client_id, provider, generation, reason, incident_id,
		request_id
	from vestal.audit_event where action like 'authorize.%' or action in ('reauthorize.requested', 'emergency.requested',
		'connection.account_pinned', 'connection.account_unknown', 'connection.account_changed');

create or replace view vestal.v_renewal as
	select at, actor, run_id, action, outcome, client_id, provider, generation, fingerprint, reason, detail
	from vestal.audit_event where action in ('token.renewed', 'token.renewal_failed', 'token.superseded');

create or replace view vestal.v_key_lifecycle as
	select at, actor, actor_auth, address, action, outcome, object_type, object_id, key_id, reason, detail
	from vestal.audit_event where action like 'key.%' or action like 'api_key.%';

-- The times count from the first moment a consumer could not get a live token; where none had to do without, from when
-- the trouble was seen.
create or replace view vestal.v_incident_ttr as
	select i.id, c.client_id, coalesce(c.provider, s.provider) as provider, i.cause, i.state, m.impact_start, i.detected_at,
		i.opened_at, i.opened_by, i.reason, i.acknowledged_at, i.acknowledged_by, i.resolved_at, i.resolved_by,
		i.detected_at - m.began_at as time_to_detect,
		i.acknowledged_at - m.began_at as time_to_acknowledge,
		i.resolved_at - m.began_at as time_to_recover,
		i.recovering_at, i.parent_id, i.flaps, i.note, coalesce(c.datacenter, s.datacenter) as datacenter, s.app_id
	from vestal.incident i left join vestal.connection c on c.id = i.connection_id
		left join vestal.provider_state s on s.id = i.provider_state_id,
		lateral (select least(i.impact_start, i.detected_at) as began_at,
			case when i.impact_start <= coalesce(i.resolved_at, now()) then i.impact_start end as impact_start) m;

-- What happened in the course of an incident, its mails included.
create or replace view vestal.v_incident_timeline as
	select id, incident_id, at, action, outcome, actor, client_id, provider, generation, reason
	from vestal.audit_event where incident_id is not null;

-- How far the audit trail is sealed; one row.
create or replace view vestal.v_audit_seal as
	select coalesce(c.size, 0) as size, c.number as checkpoint, c.at as checkpoint_at,
		case when c.at is not null then greatest(extract(epoch from now() - c.at), 0)::bigint end as checkpoint_age_s, waiting.n as waiting,
		case when waiting.oldest is not null then greatest(extract(epoch from now() - waiting.oldest), 0)::bigint end as oldest_s
	from (select) one
		left join lateral (select * from vestal.audit_checkpoint order by number desc limit 1) c on true,
		lateral (select count(*) as n, min(e.at) as oldest from vestal.audit_event e
			where e.xid >= coalesce(case when c.horizon <= pg_snapshot_xmax(pg_current_snapshot()) then c.horizon end, '0'::xid8)
				and (select true from vestal.audit_leaf l where l.event_id = e.id and l.at = e.at) is null) waiting;
