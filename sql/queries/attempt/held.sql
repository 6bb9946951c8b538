-- role:   worker
-- params: $1 text client, $2 text provider
-- rows:   0..1 of attempt, connection, app, incident or null, state_hash, held_sealed or null, seconds since the provider was asked, whether its time is not over, until when it is kept, the account_fingerprint that is pinned or null
select a.id, a.connection_id, a.app_id, a.incident_id, a.state_hash, a.held_sealed,
	ceil(extract(epoch from now() - a.held_asked_at))::int8, a.held_until > now(), vestal.rfc3339(a.held_until), c.account_fingerprint
from vestal.authorization_attempt a join vestal.connection c on c.id = a.connection_id
where c.client_id = $1 and c.provider = $2 and c.removed_at is null and a.held_until is not null
order by a.held_until desc limit 1
