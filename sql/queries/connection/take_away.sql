-- role:   worker
-- params: $1 text client, $2 text[] providers to keep
-- rows:   n of provider
update vestal.connection set removed_at = now()
where client_id = $1 and removed_at is null and not provider = any ($2) returning provider
