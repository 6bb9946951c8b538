-- role:   worker refresher
-- params: $1 text provider, $2 text owner or null, $3 text datacenter
-- rows:   0..1 of id, owner, datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params
select id, coalesce(client_id, ''), datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params::text
from vestal.app
where provider = $1 and client_id is not distinct from $2 and datacenter = $3
