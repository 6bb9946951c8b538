-- role:   worker operator
-- params: $1 text client, $2 text provider
-- rows:   1 of id, whether it is new, or comes back after it was taken away
-- why:    what comes back is bound to no account any more
with before as (
	select removed_at is not null as was_removed from vestal.connection where client_id = $1 and provider = $2
)
insert into vestal.connection (client_id, provider) values ($1, $2)
on conflict (client_id, provider) do update set removed_at = null,
	account_fingerprint = case when connection.removed_at is null then connection.account_fingerprint end
returning id, xmax = 0 or coalesce((select was_removed from before), false)
