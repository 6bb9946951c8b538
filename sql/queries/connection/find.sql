-- role:   worker refresher operator
-- params: $1 text client, $2 text provider
-- rows:   0..1 of id
select id from vestal.connection where client_id = $1 and provider = $2 and removed_at is null
