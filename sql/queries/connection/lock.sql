-- role:   worker refresher
-- params: $1 int8 connection
-- rows:   0..1 of client, provider, last_generation, state, cause, account_fingerprint or null
-- why:    whoever changes a token holds this row first
select c.client_id, c.provider, c.last_generation, c.state, c.cause, c.account_fingerprint from vestal.connection c
where c.id = $1 and c.removed_at is null for update of c
