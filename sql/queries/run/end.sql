-- role:   refresher
-- params: $1 int8 run, $2 int4 exit_code, $3 jsonb counts, $4 text error or null
-- rows:   0
update vestal.refresh_run set ended_at = now(), exit_code = $2, counts = $3::jsonb, error = $4 where id = $1
