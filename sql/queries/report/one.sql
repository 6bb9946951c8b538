-- role:   worker refresher operator
-- params: $1 int8 connection
-- rows:   0..1 of status, cause
select status, cause from vestal.connection_report where id = $1
