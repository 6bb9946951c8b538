-- role:   owner refresher
-- params: none
-- rows:   1 of how many were new
select vestal.audit_make_partitions()
