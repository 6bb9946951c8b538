-- role:   worker refresher
-- params: $1 int8 app
-- rows:   0..1 of id, owner, datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params
select id, coalesce(client_id, ''), datacenter, oauth_client_id, secret_sealed, generation, redirect_uri, params::text
from vestal.app where id = $1
