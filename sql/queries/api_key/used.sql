-- role:   worker
-- params: $1 text id
-- rows:   0
update vestal.api_key set last_used_on = current_date where id = $1 and last_used_on is distinct from current_date
