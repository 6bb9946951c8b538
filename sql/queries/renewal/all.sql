-- role:   refresher
-- params: $1 int8 limit, $2 text client or null, $3 text provider or null, $4 int8 the last connection seen
-- rows:   n of connection
-- why:    the schedule does not count, but what a provider or a quota asked for does; removed and passive ones are nobody's
select c.id from vestal.connection c
where c.id > $4 and c.next_refresh_at is not null and c.removed_at is null and not c.passive
	and ($2::text is null or c.client_id = $2) and ($3::text is null or c.provider = $3)
order by c.id limit $1
