-- role:   operator
-- params: $1 text id, $2 text name, $3 text role, $4 bytea hash, $5 text[] clients or null, $6 text[] providers or null, $7 text[] addresses or null, $8 timestamptz expires_at or null
-- rows:   0
insert into vestal.api_key (id, name, role, hash, clients, providers, addresses, expires_at)
values ($1, $2, $3, $4, $5, $6, $7::text[]::cidr[], $8)
