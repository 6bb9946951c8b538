-- role:   worker refresher
-- params: $1 text provider, $2 text datacenter, $3 int8 deaths, $4 int8 seconds they are remembered
-- rows:   0..1 of how many there were lately
update vestal.provider_state set deaths = (array(select d from unnest(deaths) d
	where d > now() - make_interval(secs => $4::int8) order by d desc limit 100)
	|| array_fill(now(), array[least($3::int8, 100)::int4]))
where provider = $1 and datacenter = $2 and app_id is null returning cardinality(deaths)
