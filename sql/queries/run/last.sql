-- role:   operator worker
-- params: none
-- rows:   0..1 of run, host, mode, started_at, ended_at or null, exit_code or null, seconds since it began
-- why:    of those that renew; a check says nothing of the schedule
select id, host, mode, vestal.rfc3339(started_at), vestal.rfc3339(ended_at), exit_code,
	extract(epoch from now() - started_at)::int8
from vestal.refresh_run where mode <> 'check' order by started_at desc limit 1
