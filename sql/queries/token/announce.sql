-- role:   worker
-- params: $1 text client, $2 text provider, $3 int8 generation or null
-- rows:   1 of nothing
select pg_notify('vestal_token', json_build_object('clientId', $1::text, 'provider', $2::text, 'generation', $3::int8)::text)
