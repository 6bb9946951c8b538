-- role:   operator
-- params: $1 text provider, $2 text client or null, $3 text datacenter
-- rows:   1 of generation
select coalesce(max(generation), 0) + 1 from vestal.app
where provider = $1 and client_id is not distinct from $2 and datacenter = $3
