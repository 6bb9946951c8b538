-- role:   worker
-- params: $1 text client, $2 text[] providers to keep
-- rows:   0..1 of a provider that would be taken away while it holds a token
select c.provider from vestal.connection c join vestal.token t on t.connection_id = c.id
where c.client_id = $1 and c.removed_at is null and not c.provider = any ($2) order by 1 limit 1
