-- role:   sealer
-- params: $1 timestamptz from, $2 timestamptz to, before it
-- rows:   n of leaf or null, and the event's columns by their names
select l.leaf_index, e.id, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, e.xid, e.db_user, encode(e.salt, 'hex') as salt, e.schema_version,
	e.host, e.program, e.request_id, e.run_id, e.actor, e.actor_auth, e.address, e.user_agent, e.action, e.outcome,
	e.object_type, e.object_id, e.client_id, e.provider, e.connection_id, e.incident_id, e.generation, e.key_id,
	e.fingerprint, e.reason, e.severity, e.clock_ok, e.detail_text
from vestal.audit_event e left join vestal.audit_leaf l on l.event_id = e.id and l.at = e.at
where e.at >= $1::timestamptz and e.at < $2::timestamptz
order by l.leaf_index nulls last, e.id
