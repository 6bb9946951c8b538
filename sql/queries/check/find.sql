-- role:   worker refresher
-- params: $1 text[] clients or null, $2 text[] providers or null, $3 int8 limit
-- rows:   n of connection
-- why:    whom no check came by for longest is first, so that checks that are cut short get round all the same
select id from vestal.connection
where removed_at is null and ($1::text[] is null or client_id = any ($1)) and ($2::text[] is null or provider = any ($2))
order by checked_at nulls first, id limit $3
