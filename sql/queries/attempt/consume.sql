-- role:   worker
-- params: $1 bytea state_hash, $2 text provider
-- rows:   0..1 of id, connection, client, app, incident, kind, datacenter, verifier_sealed, actor
-- why:    a state is used once, whatever comes of it
update vestal.authorization_attempt a set ended_at = now(), outcome = 'begun'
from vestal.connection c
where a.state_hash = $1 and c.id = a.connection_id and c.provider = $2 and c.removed_at is null and a.ended_at is null and a.expires_at > now()
returning a.id, c.id, c.client_id, a.app_id, a.incident_id, a.kind, a.datacenter, a.verifier_sealed, a.actor
