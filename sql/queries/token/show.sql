-- role:   operator
-- params: $1 text client, $2 text provider
-- rows:   0..1 of what can be told of a connection's token (fcgi/store/token.h)
-- why:    everything but the secrets; a lease that is over is none
select c.id, c.last_generation, t.generation, t.access_fingerprint, t.refresh_fingerprint, t.token_type,
	vestal.rfc3339(t.issued_at), vestal.rfc3339(t.expires_at), vestal.rfc3339(t.granted_at),
	vestal.rfc3339(t.grant_ends_at), vestal.rfc3339(t.idle_ends_at), r.status, r.cause, r.action, r.owner, r.datacenter,
	r.passive, r.failures, r.last_error_code, vestal.rfc3339(r.last_error_at), vestal.rfc3339(r.last_refreshed_at),
	vestal.rfc3339(r.last_proved_at), vestal.rfc3339(r.next_refresh_at), vestal.rfc3339(c.tried_at), c.deferred_by,
	case when c.lease_until > now() then c.lease_owner end,
	case when c.lease_until > now() then vestal.rfc3339(c.lease_until) end, r.copy_generation, r.environment_generation,
	c.account_fingerprint
from vestal.connection c join vestal.connection_report r on r.id = c.id
	left join vestal.token t on t.connection_id = c.id
where c.client_id = $1 and c.provider = $2 and c.removed_at is null
