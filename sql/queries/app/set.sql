-- role:   operator
-- params: $1 text provider, $2 text client or null, $3 text datacenter, $4 text oauth_client_id, $5 bytea secret_sealed, $6 int8 generation, $7 text redirect_uri, $8 date secret_ends_on or null, $9 jsonb params
-- rows:   1 of id
-- why:    credentials that were refused are tried again as soon as they are changed
with known as (
	select id from vestal.app where provider = $1 and client_id is not distinct from $2 and datacenter = $3
), mended as (
	update vestal.provider_state s set state = 'half_open', retry_at = now() from known
	where s.app_id = known.id and s.state <> 'closed'
)
insert into vestal.app (provider, client_id, datacenter, oauth_client_id, secret_sealed, generation, redirect_uri,
	secret_ends_on, params)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (provider, client_id, datacenter) do update set oauth_client_id = $4, secret_sealed = $5, generation = $6,
	redirect_uri = $7, secret_ends_on = $8, params = $9, updated_at = now()
returning id
