-- role:   worker refresher
-- params: $1 int8[] connections
-- rows:   n of connection, client, client's name, provider, datacenter, api_domain, scope, kept, app, state, cause, whether an incident is open, generation or null,
--         access_sealed, refresh_sealed, token_type, issued_at, expires_at, granted_at, grant_ends_at, idle_ends_at, account_fingerprint or null
-- why:    one that was taken away holds nothing; in order of their files, which are locked in this order too
select c.id, c.client_id, k.name, c.provider, c.datacenter, c.api_domain, c.scope, c.kept::text, c.app_id, c.state, c.cause,
	exists (select from vestal.incident i where i.connection_id = c.id and i.resolved_at is null), t.generation,
	t.access_sealed, t.refresh_sealed, t.token_type, vestal.rfc3339(t.issued_at), vestal.rfc3339(t.expires_at),
	vestal.rfc3339(t.granted_at), vestal.rfc3339(t.grant_ends_at), vestal.rfc3339(t.idle_ends_at), c.account_fingerprint
from vestal.connection c join vestal.client k on k.id = c.client_id
	left join vestal.token t on t.connection_id = c.id and c.removed_at is null
where c.id = any ($1) order by c.client_id collate "C", c.provider collate "C"
