-- role:   refresher
-- params: $1 int8 limit, $2 text client or null, $3 text provider or null
-- rows:   n of connection, in the order in which they shall be renewed
-- why:    every lane (a provider's data centre, those that fail apart) takes its turn, so that none starves the others; a
--         shut gate costs nothing, and behind one that tries there is place for one
with lane as materialized (
	select s.provider, s.datacenter, f.failing, case when s.state = 'closed' then $1::int8 else 1 end as room
	from vestal.provider_state s, (values (false), (true)) f (failing)
	where s.app_id is null and ($3::text is null or s.provider = $3)
		and (s.state = 'closed' or s.retry_at is null or s.retry_at <= now())
)
select due.id from lane, lateral (
	select c.id, c.next_refresh_at, row_number() over (order by c.next_refresh_at) as turn
	from vestal.connection c
	where c.provider = lane.provider and c.datacenter = lane.datacenter and c.failing = lane.failing
		and c.next_refresh_at <= now() and c.removed_at is null and not c.passive
		and (c.lease_until is null or c.lease_until <= now()) and ($2::text is null or c.client_id = $2)
	order by c.next_refresh_at limit lane.room
) due
order by due.turn, due.next_refresh_at limit $1
