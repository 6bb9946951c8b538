-- role:   refresher
-- params: $1 text client or null, $2 text provider or null
-- rows:   1 of how many
-- why:    what a run would take up now, lane by lane as in due.sql, so that only what is due is read, and from the index
select coalesce(sum(due.n), 0)::int8
from vestal.provider_state s, (values (false), (true)) f (failing), lateral (
	select count(*) as n from vestal.connection c
	where c.provider = s.provider and c.datacenter = s.datacenter and c.failing = f.failing
		and c.next_refresh_at <= now() and c.removed_at is null and not c.passive
		and (c.lease_until is null or c.lease_until <= now()) and ($1::text is null or c.client_id = $1)
) due
where s.app_id is null and ($2::text is null or s.provider = $2) and (s.state = 'closed' or s.retry_at is null or s.retry_at <= now())
