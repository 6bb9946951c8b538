-- role:   sealer
-- params: $1 text month
-- rows:   0..1 of sha256, rows: what the newest sealed export of that month said
select e.detail->>'sha256', (e.detail->>'rows')::int8
from vestal.audit_event e join vestal.audit_leaf l on l.event_id = e.id and l.at = e.at
where e.action = 'audit.exported' and e.outcome = 'ok' and e.object_type = 'month' and e.object_id = $1::text
order by e.at desc limit 1
