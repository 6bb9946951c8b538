-- role:   sealer
-- params: none
-- rows:   1 of number, size, origin, root, frontier, horizon, note (all null before the first), the horizon now, whether the checkpoint's is ahead of every transaction here, now
select c.number, c.size, c.origin, c.root, c.frontier, c.horizon, c.note, pg_snapshot_xmin(pg_current_snapshot()),
	coalesce(c.horizon > pg_snapshot_xmax(pg_current_snapshot()), false), vestal.rfc3339(clock_timestamp())
from (select) one left join lateral
	(select * from vestal.audit_checkpoint order by number desc limit 1) c on true
