-- role:   worker refresher
-- params: $1 int8 connection, $2 int8 copy's generation, $3 int8 environment file's; 0: none, -1: as it was
-- rows:   0
update vestal.connection set
	copy_generation = case $2::int8 when -1 then copy_generation when 0 then null else $2 end,
	environment_generation = case $3::int8 when -1 then environment_generation when 0 then null else $3 end
where id = $1
