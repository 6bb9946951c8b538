-- role:   refresher
-- params: $1 int8 days
-- rows:   0
delete from vestal.refresh_run where started_at < now() - make_interval(days => $1::int8::int4)
