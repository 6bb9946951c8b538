-- role:   refresher
-- params: $1 text host, $2 text mode
-- rows:   1 of run
insert into vestal.refresh_run (host, mode) values ($1, $2) returning id
