-- role:   worker operator
-- params: $1 text client, $2 text[] providers to keep
-- rows:   n of id, provider
update vestal.connection set removed_at = now()
where client_id = $1 and removed_at is null and not provider = any ($2) returning id, provider
