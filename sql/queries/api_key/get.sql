-- role:   worker
-- params: $1 text id, $2 inet address of the caller
-- rows:   0..1 of name, role, hash, clients and providers as JSON arrays or null, whether it was used today
select name, role, hash, array_to_json(clients)::text, array_to_json(providers)::text, used.today
from vestal.api_key, lateral (select last_used_on is not distinct from current_date as today) used
where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())
	and (addresses is null or $2::inet <<= any (addresses))
