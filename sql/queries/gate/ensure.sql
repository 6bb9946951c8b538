-- role:   worker refresher
-- params: $1 text provider, $2 text datacenter, $3 int8 app or null
-- rows:   0
insert into vestal.provider_state (provider, datacenter, app_id, cause)
values ($1, $2, $3, case when $3::int8 is null then 'provider_outage' else 'app_credentials' end)
on conflict (provider, datacenter, app_id) do nothing
