-- role:   worker operator
-- params: $1 text client, $2 text name or null
-- rows:   1 of whether it is new, or comes back after it was removed
-- why:    a client that was removed comes back with its history
with before as (select removed_at is not null as was_removed from vestal.client where id = $1)
insert into vestal.client (id, name) values ($1, coalesce($2, $1))
on conflict (id) do update set name = coalesce($2, client.name), removed_at = null
returning xmax = 0 or coalesce((select was_removed from before), false)
