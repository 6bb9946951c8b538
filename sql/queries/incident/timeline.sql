-- role:   worker operator
-- params: $1 int8 incident, $2 int8 limit
-- rows:   n of at, action, outcome, actor, generation, reason
select vestal.rfc3339(at), action, outcome, actor, generation, reason
from vestal.v_incident_timeline where incident_id = $1 order by id limit $2
