-- role:   worker
-- params: $1 int8 connection, $2 int8 renew_before_s, $3 int8 refresh_period_s
-- rows:   0..1 of generation
-- why:    what nobody renewed here until now has its turn as a new grant has (connection/granted.sql), at once when that has
--         passed; after store_connection_lock()
update vestal.connection c set passive = false, next_refresh_at = case when due.at is not null then greatest(due.at, now()) end,
	overdue_at = case when due.at is not null then greatest(due.at, now()) end + make_interval(secs => 2 * $3::int8)
from vestal.token t,
	lateral (select least($2::int8, extract(epoch from t.expires_at - t.issued_at) / 3) as s) margin,
	lateral (select case when t.refresh_sealed is not null then
		least(t.expires_at - make_interval(secs => margin.s * (1 + 0.1 * random())),
			t.idle_ends_at - least(interval '7 days', (t.idle_ends_at - t.issued_at) / 2)) end as at) due
where c.id = $1 and c.passive and t.connection_id = c.id
returning t.generation
