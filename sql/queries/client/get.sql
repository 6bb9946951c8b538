-- role:   worker refresher operator
-- params: $1 text client
-- rows:   0..1 of id, name
select id, name from vestal.client where id = $1 and removed_at is null
