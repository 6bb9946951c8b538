-- role:   sealer
-- params: none
-- rows:   n of event, seconds since, whether the sealer would have seen it: it was put there afterwards
-- why:    everything of a transaction below the newest checkpoint's horizon was sealed then. A horizon ahead of every
--         transaction is that of another cluster, and says nothing here
select e.id, greatest(extract(epoch from now() - e.at), 0)::int8,
	coalesce(e.xid < c.horizon and c.horizon <= pg_snapshot_xmax(pg_current_snapshot()), false)
from vestal.audit_event e left join (select horizon from vestal.audit_checkpoint order by number desc limit 1) c on true
where not exists (select from vestal.audit_leaf l where l.event_id = e.id and l.at = e.at)
order by 3 desc, e.xid, e.id
