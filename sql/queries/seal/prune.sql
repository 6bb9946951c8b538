-- role:   sealer
-- params: $1 text month
-- rows:   1 of how many events are gone
select vestal.audit_prune(to_date($1::text, 'YYYY-MM'))
