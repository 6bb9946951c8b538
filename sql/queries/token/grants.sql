-- role:   worker
-- params: $1 int8 connection, $2 int8 generation
-- rows:   1 of how many grants there were from that generation on, with the one in place
-- why:    history has one row of each that is over
select (select count(*) from vestal.token_history where connection_id = $1 and generation >= $2)
	+ (select count(*) from vestal.token where connection_id = $1 and generation >= $2)
