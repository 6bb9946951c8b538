-- role:   worker refresher
-- params: $1 text provider, $2 text datacenter, $3 int8 app or null, $4 int8 limit, $5 int8 seconds
-- rows:   1 of how many there were
-- why:    what waited behind the gate, or because of the outage that shut it, is due again, spread over so many seconds; many at a time would hold locks long; what somebody is renewing does not wait
with waiting as (
	select c.id from vestal.connection c
	where c.provider = $1 and c.datacenter = $2 and ($3::int8 is null or c.app_id = $3)
		and (c.deferred_by = 'gate' or (c.deferred_by = 'backoff' and c.cause = 'provider_outage' and $3 is null))
		and c.next_refresh_at is not null and (c.lease_until is null or c.lease_until <= now())
	limit $4 for update skip locked
), resumed as (
	update vestal.connection c set deferred_by = null,
		next_refresh_at = least(c.next_refresh_at, now() + random() * make_interval(secs => $5::int8))
	from waiting w where c.id = w.id returning c.id
)
select count(*) from resumed
