-- role:   worker refresher
-- params: $1 text provider, $2 text client, $3 text datacenter that is preferred
-- rows:   0..1 of id, owner, datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params
-- why:    a client's own app goes before the common one
select id, coalesce(client_id, ''), datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params::text
from vestal.app
where provider = $1 and (client_id = $2 or client_id is null)
order by client_id nulls last, datacenter = $3 desc, id limit 1
