-- role:   worker refresher
-- params: $1 int8 connection
-- rows:   0..1 of client, client's name, provider, datacenter, api_domain, scope, kept, app, generation or null,
--         access_sealed, refresh_sealed, token_type, issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at
select c.client_id, k.name, c.provider, c.datacenter, c.api_domain, c.scope, c.kept::text, c.app_id, t.generation,
	t.access_sealed, t.refresh_sealed, t.token_type, vestal.rfc3339(t.issued_at), vestal.rfc3339(t.expires_at),
	vestal.rfc3339(t.granted_at), vestal.rfc3339(t.grant_ends_at), vestal.rfc3339(t.idle_ends_at)
from vestal.connection c join vestal.client k on k.id = c.client_id left join vestal.token t on t.connection_id = c.id
where c.id = $1
