-- role:   operator
-- params: none
-- rows:   n of provider, client, datacenter, oauth_client_id, redirect_uri, secret_ends_on
select provider, coalesce(client_id, ''), datacenter, oauth_client_id, redirect_uri, secret_ends_on
from vestal.app order by 1, 2, 3
