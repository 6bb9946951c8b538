-- What an undo needs of the grants that were: where they lived, and whether their refresh token may still be sent.

-- spent: the provider has, or may have, replaced the refresh token since, so that it is never sent again (only where the
-- provider replaces them does anybody ask). restored_as: the generation that an undo made of it; it is not found again.
-- passive: its old owner renewed it.
alter table vestal.token_history
	add column app_id bigint references vestal.app,
	add column datacenter text,
	add column api_domain text,
	add column scope text,
	add column kept jsonb,
	add column passive boolean not null default false,
	add column spent boolean not null default false,
	add column restored_as bigint;
update vestal.token_history h set app_id = c.app_id, datacenter = c.datacenter, api_domain = c.api_domain,
	scope = c.scope, kept = c.kept
from vestal.connection c where c.id = h.connection_id;
create index token_history_ended on vestal.token_history (ended_at);
