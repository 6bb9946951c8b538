-- role:   sealer
-- params: $1 text from this transaction, $2 text to below this one, $3 text the horizon, $4 int8 at most
-- rows:   0..$4 of the event's columns as its leaf holds them (fcgi/custody/leaf.h)
-- why:    below the horizon nothing is still running, so nothing can come before; what is beyond every transaction of
--         this cluster was written in another one that this database was restored from. A subquery,
--         because an anti-join would read all leaves where statistics are old
select e.id, (extract(epoch from e.at) * 1000000)::int8, e.xid, e.db_user, encode(e.salt, 'hex'),
	e.schema_version, e.host, e.program, e.request_id, e.run_id, e.actor, e.actor_auth, e.address,
	e.user_agent, e.action, e.outcome, e.object_type, e.object_id, e.client_id, e.provider, e.connection_id,
	e.incident_id, e.generation, e.key_id, e.fingerprint, e.reason, e.severity, e.clock_ok, e.detail_text
from vestal.audit_event e
where e.xid >= $1::text::xid8 and e.xid < $2::text::xid8 and (e.xid < $3::text::xid8 or e.xid >= pg_snapshot_xmax(pg_current_snapshot()))
	and (select true from vestal.audit_leaf l where l.event_id = e.id and l.at = e.at) is null
order by e.xid, e.id limit $4::int8
