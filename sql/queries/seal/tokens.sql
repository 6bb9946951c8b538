-- role:   sealer
-- params: none
-- rows:   n of client, provider, the token's generation, the event's or null, the event, what is wrong
-- why:    the newest event that gave or took a connection's token is the one its row has to agree with
with told as (
	select distinct on (connection_id) connection_id, id, action, generation, fingerprint
	from vestal.audit_event
	where connection_id is not null and generation is not null and outcome in ('ok', 'partial')
		and action in ('authorize.completed', 'token.renewed', 'token.override', 'token.undone', 'token.imported', 'token.restored', 'token.removed',
		'reauthorize.requested')
	order by connection_id, generation desc, id desc
)
select c.client_id, c.provider, t.generation, told.generation, told.id,
	case when told.id is null then 'unknown' when told.generation <> t.generation then 'generation'
		when told.fingerprint is distinct from t.access_fingerprint then 'fingerprint' else 'removed' end
from vestal.token t join vestal.connection c on c.id = t.connection_id left join told on told.connection_id = c.id
where told.id is null or told.generation <> t.generation or told.fingerprint is distinct from t.access_fingerprint
	or told.action in ('token.removed', 'reauthorize.requested')
order by c.client_id, c.provider
