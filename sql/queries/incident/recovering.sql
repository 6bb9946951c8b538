-- role:   worker refresher
-- params: $1 int8[] connections
-- rows:   n of connection, id
-- why:    proved, but a store is behind, or a person is on the way to authorize it anew
update vestal.incident i set state = 'recovering', recovering_at = now()
from vestal.connection c
where i.connection_id = any ($1) and i.resolved_at is null and i.state in ('suspected', 'open', 'acknowledged')
	and i.cause not in ('our_fault', 'none') and i.opened_at is not null
	and c.id = i.connection_id and c.state = 'live' and c.cause in ('none', 'scope_missing')
returning i.connection_id, i.id
