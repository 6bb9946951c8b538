-- role:   operator
-- params: $1 text client
-- rows:   0..1 of id
-- why:    its connections are taken away with it; rows and history stay
update vestal.client set removed_at = now() where id = $1 and removed_at is null
	and not exists (select from vestal.token t join vestal.connection c on c.id = t.connection_id
		where c.client_id = $1)
returning id
