-- role:   operator
-- params: $1 text id
-- rows:   0..1 of id
update vestal.api_key set revoked_at = now() where id = $1 and revoked_at is null returning id
