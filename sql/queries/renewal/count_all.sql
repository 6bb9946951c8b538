-- role:   refresher
-- params: $1 text client or null, $2 text provider or null
-- rows:   1 of how many
-- why:    what a run takes up that asks for all, as in all.sql
select count(*) from vestal.connection c
where c.next_refresh_at is not null and c.removed_at is null and not c.passive
	and ($1::text is null or c.client_id = $1) and ($2::text is null or c.provider = $2)
