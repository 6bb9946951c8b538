-- role:   worker operator
-- params: $1 text client, $2 text name or null
-- rows:   1 of whether it is new
-- why:    a client that was removed comes back with its history
insert into vestal.client (id, name) values ($1, coalesce($2, $1))
on conflict (id) do update set name = coalesce($2, client.name), removed_at = null
returning xmax = 0
