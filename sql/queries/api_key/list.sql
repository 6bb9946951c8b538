-- role:   operator
-- params: none
-- rows:   n of id, name, role, clients, providers, addresses, created_at, expires_at, revoked_at, last_used_on
select id, name, role, array_to_json(clients)::text, array_to_json(providers)::text, array_to_json(addresses)::text,
	vestal.rfc3339(created_at), vestal.rfc3339(expires_at), vestal.rfc3339(revoked_at), last_used_on
from vestal.api_key order by created_at, id
