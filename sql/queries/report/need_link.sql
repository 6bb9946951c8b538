-- role:   worker
-- params: none
-- rows:   n of client, provider
-- why:    what only a new authorization mends: not what never was connected, nor what was removed and nobody misses
select r.client_id, r.provider from vestal.connection_report r
where r.action = 'reauthorize' and (r.status <> 'missing' or exists (
	select from vestal.incident i where i.connection_id = r.id and i.resolved_at is null))
order by r.client_id, r.provider
