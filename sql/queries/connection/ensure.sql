-- role:   worker operator
-- params: $1 text client, $2 text provider
-- rows:   1 of id, whether it is new
insert into vestal.connection (client_id, provider) values ($1, $2)
on conflict (client_id, provider) do update set removed_at = null
returning id, xmax = 0
