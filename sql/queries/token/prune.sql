-- role:   refresher
-- params: $1 int8 days, $2 int8 most
-- rows:   1 of how many there were
-- why:    the oldest first, so that what ended a connection outlives what was before it; what is still to be revoked stays
with old as (
	select connection_id, generation from vestal.token_history where ended_at < now() - make_interval(days => $1::int8::int4)
		and revocation is distinct from 'pending'
	order by ended_at limit $2
), pruned as (
	delete from vestal.token_history h using old where h.connection_id = old.connection_id and h.generation = old.generation
	returning 1
)
select count(*) from pruned
