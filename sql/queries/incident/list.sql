-- role:   worker operator
-- params: $1 text[] clients or null, $2 text[] providers or null, $3 text[] states or null, $4 int8 incident or null, $5 int8 after or null, $6 int8 limit
-- rows:   n of an incident each (fcgi/store/incident.h), the newest first
-- why:    who may see some clients only sees no provider's incident, which is of everybody
select v.id, v.client_id, v.provider, v.datacenter, v.app_id, v.cause, v.state, v.reason, v.opened_by, vestal.rfc3339(v.impact_start),
	vestal.rfc3339(v.detected_at), vestal.rfc3339(v.opened_at), vestal.rfc3339(v.acknowledged_at), v.acknowledged_by, v.note,
	vestal.rfc3339(v.recovering_at), vestal.rfc3339(v.resolved_at), v.resolved_by, v.parent_id,
	(select count(*) from vestal.incident n where n.parent_id = v.id), v.flaps,
	round(extract(epoch from v.time_to_detect))::int8, round(extract(epoch from v.time_to_acknowledge))::int8,
	round(extract(epoch from v.time_to_recover))::int8
from vestal.v_incident_ttr v
where ($1::text[] is null or v.client_id = any ($1)) and ($2::text[] is null or v.provider = any ($2))
	and ($3::text[] is null or v.state = any ($3)) and ($4::int8 is null or v.id = $4) and ($5::int8 is null or v.id < $5)
order by v.id desc limit $6
