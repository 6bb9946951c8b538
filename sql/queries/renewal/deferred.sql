-- role:   worker refresher
-- params: $1 jsonb deferrals as an array (fcgi/store/renewal.c)
-- rows:   n of connection
-- why:    the lease goes back without the provider having been asked: nothing is counted, nothing is an event, and what a
--         new grant or a removal has planned since stays. Who asked out of turn has had his try: nobody reads on
--         without a pause
with deferral as (
	select * from jsonb_to_recordset($1::jsonb) as x (id int8, fence int8, wait_s int8, deferred_by text, is_try bool)
), held as (
	select c.id, c.next_refresh_at is not null and (c.last_refreshed_at <= c.tried_at) is not false as counts
	from vestal.connection c where c.id in (select id from deferral) order by c.id for update
), judged as (
	select d.*, h.counts from deferral d join held h on h.id = d.id
), freed as (
	update vestal.connection c set lease_owner = null, lease_until = null,
		tried_at = case when d.is_try then c.tried_at else c.mints[cardinality(c.mints) - 1] end,
		mints = c.mints[:cardinality(c.mints) - 1],
		next_refresh_at = case when d.wait_s is null or not d.counts then c.next_refresh_at
			else now() + make_interval(secs => d.wait_s) end,
		deferred_by = case when d.counts then coalesce(d.deferred_by, c.deferred_by) else c.deferred_by end
	from judged d
	where c.id = d.id and c.fence = d.fence and c.lease_owner is not null
	returning c.id
)
select id, pg_notify('vestal_renewal', id::text)::text from freed
