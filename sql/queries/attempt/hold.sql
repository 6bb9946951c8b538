-- role:   worker
-- params: $1 int8 attempt, $2 bytea held_sealed, $3 int8 seconds it is kept, $4 int8 seconds since the provider was asked
-- rows:   0..1 of id
-- why:    under the connection's lock: the newest is the only one kept
with this as (
	select id, connection_id from vestal.authorization_attempt where id = $1 and outcome = 'begun' for update
), before as (
	update vestal.authorization_attempt a set held_sealed = null from this t
	where a.connection_id = t.connection_id and a.id <> t.id and a.held_sealed is not null
)
update vestal.authorization_attempt a set ended_at = now(), outcome = 'account_changed', held_sealed = $2,
	held_until = now() + make_interval(secs => $3::int8), held_asked_at = now() - make_interval(secs => $4::int8)
from this t where a.id = t.id returning a.id
