-- role:   refresher
-- params: none
-- rows:   0
-- why:    once a day, after six in the morning UTC, and only when there is something; what never worked is nothing
insert into vestal.outbox (message_id, kind, payload)
select s.message_id, 'summary', json_build_object('total', n.total, 'lines', n.lines)
from (select 'summary-' || to_char(now() at time zone 'UTC', 'YYYY-MM-DD') as message_id) s,
	lateral (select count(*) as total, json_agg(json_build_object('clientId', b.client_id, 'provider', b.provider,
		'status', b.status, 'cause', b.cause) order by b.client_id, b.provider) filter (where b.n <= 20) as lines
		from (select r.client_id, r.provider, r.status, r.cause, row_number() over (order by r.client_id, r.provider) as n
			from vestal.connection_report r where r.status <> 'healthy' and r.cause <> 'never_connected') b) n
where (now() at time zone 'UTC')::time >= '06:00' and n.total > 0
	and not exists (select from vestal.outbox o where o.message_id = 'summary-' || to_char(now() at time zone 'UTC', 'YYYY-MM-DD'))
on conflict (message_id) do nothing
