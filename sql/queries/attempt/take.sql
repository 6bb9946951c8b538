-- role:   worker
-- params: $1 int8 connection, $2 int8 attempt
-- rows:   1 of whether the attempt's token was there and its time not over
-- why:    under the connection's lock: of two who take it one finds it gone, and whatever else has come makes it old
with taken as (
	update vestal.authorization_attempt set held_sealed = null where connection_id = $1 and held_sealed is not null
	returning id, held_until > now() as waited
)
select exists (select from taken where id = $2 and waited)
