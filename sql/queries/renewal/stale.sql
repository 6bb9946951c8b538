-- role:   refresher
-- params: $1 int8 the last connection seen, $2 int8 limit
-- rows:   n of connection
-- why:    stores outside the database that fell behind, or hold what is gone
select id from vestal.connection where undistributed and id > $1 order by id limit $2
