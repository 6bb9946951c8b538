-- role:   worker
-- params: $1 int8 connection
-- rows:   0..1 of generation, access_sealed, refresh_sealed or null, app, datacenter, api_domain, scope, kept, ended_by, whether the refresh token may be spent, seconds the access token still lives or null
-- why:    the last token of the grant before the last step; what an undo brought back, or put away, is no step
select generation, access_sealed, refresh_sealed, app_id, datacenter, api_domain, scope, kept::text, ended_by, spent,
	vestal.seconds_left(expires_at)
from vestal.token_history where connection_id = $1 and restored_as is null and ended_by <> 'token.undone'
order by generation desc limit 1
