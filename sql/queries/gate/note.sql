-- role:   worker refresher
-- params: $1 text provider, $2 text datacenter, $3 int8 app or null, $4 int8 answers that were good, $5 int8 failures, $6 text code of the failures or null, $7 text cause, $8 int8 failures that open it, $9 int8 seconds it stays open at first, $10 int8 at most, $11 text version or null
-- rows:   0..1 of gate, state, whether it opened now, whether it closed now, seconds until it tries
-- why:    a good answer closes; so many failures of one code in a row open; a failed try keeps it open twice as long
with before as (
	select s.* from vestal.provider_state s
	where s.provider = $1 and s.datacenter = $2 and s.app_id is not distinct from $3
		and $4::int8 + $5::int8 > 0 and ($4 = 0 or s.state <> 'closed' or s.failures > 0 or s.version is distinct from coalesce($11, s.version))
	for update
), counted as (
	select b.*, case when $4 > 0 then 0 when b.code is not distinct from $6 then b.failures + $5::int8 else $5 end as now_failing
	from before b
), decided as (
	select c.*, c.now_failing >= $8 and c.state = 'closed' or c.now_failing > 0 and c.state = 'half_open' as opens,
		$4 > 0 and c.state <> 'closed' as closes
	from counted c
), after as (
	update vestal.provider_state s set failures = d.now_failing, code = case when $4 > 0 then null else $6 end,
		state = case when $4 > 0 then 'closed' when d.opens then 'open' else s.state end,
		cause = case when $4 > 0 then s.cause else $7 end,
		since = case when d.closes or (d.opens and s.state = 'closed') then now() else s.since end,
		openings = case when $4 > 0 then 0 when d.opens then s.openings + 1 else s.openings end,
		retry_at = case when $4 > 0 then null when d.opens
			then now() + make_interval(secs => least($10::int8, $9::int8 * 2 ^ least(s.openings, 20) * (0.9 + 0.2 * random())))
			else s.retry_at end,
		version = coalesce($11, s.version)
	from decided d where s.id = d.id
	returning s.id, s.state, s.retry_at
)
select a.id, a.state, d.opens and d.state = 'closed', d.closes, vestal.seconds_left(a.retry_at)
from after a join decided d on d.id = a.id
