-- role:   refresher
-- params: none
-- rows:   n of provider, datacenter, app
-- why:    apps whose credentials were changed since they were refused: what waits behind their gates need not wait longer
select provider, datacenter, app_id from vestal.provider_state
where app_id is not null and state = 'half_open' and (retry_at is null or retry_at <= now())
order by id
