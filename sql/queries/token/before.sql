-- role:   worker
-- params: $1 int8 connection
-- rows:   0..1 of generation, access_sealed, refresh_sealed or null, app, datacenter, api_domain, scope, kept, ended_by, whether the refresh token may be spent, seconds the access token still lives or null, whether its old owner renewed it
-- why:    the last token of the grant before the last step; what an undo brought back, or put away, is no step. A refresh token may stand in several
--         generations, and one that is in use is a renewal's to send
select generation, access_sealed, refresh_sealed, app_id, datacenter, api_domain, scope, kept::text,
	case when revocation is null then ended_by else 'token.removed' end,
	spent or exists (select from vestal.token_history o
			where o.connection_id = $1 and o.refresh_fingerprint = h.refresh_fingerprint and o.spent)
		or exists (select from vestal.token t where t.connection_id = $1 and t.refresh_fingerprint = h.refresh_fingerprint),
	vestal.seconds_left(expires_at), passive
from vestal.token_history h where connection_id = $1 and restored_as is null and ended_by <> 'token.undone'
order by generation desc limit 1
