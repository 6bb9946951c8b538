-- role:   sealer
-- params: none
-- rows:   n of leaf, event, at in microseconds, month, hash, whether the event is there, whether detail is detail_text, and the event's columns as in pending.sql
select l.leaf_index, l.event_id, (extract(epoch from l.at) * 1000000)::int8, to_char(l.at, 'YYYY-MM'),
	encode(l.hash, 'hex'), e.id is not null, e.detail is not distinct from e.detail_text::jsonb,
	e.id, (extract(epoch from e.at) * 1000000)::int8, e.xid, e.db_user, encode(e.salt, 'hex'),
	e.schema_version, e.host, e.program, e.request_id, e.run_id, e.actor, e.actor_auth, e.address,
	e.user_agent, e.action, e.outcome, e.object_type, e.object_id, e.client_id, e.provider, e.connection_id,
	e.incident_id, e.generation, e.key_id, e.fingerprint, e.reason, e.severity, e.clock_ok, e.detail_text
from vestal.audit_leaf l left join vestal.audit_event e on e.id = l.event_id and e.at = l.at
order by l.leaf_index
