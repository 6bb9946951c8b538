-- role:   worker refresher
-- params: $1 int8[] connections, $2 int8[] copies' generations, $3 int8[] environment files'; 0: none, -1: as it was
-- rows:   0
-- why:    a store that could not be written is tried again by the next run
update vestal.connection c set
	copy_generation = case s.copy when -1 then c.copy_generation when 0 then null else s.copy end,
	environment_generation = case s.environment when -1 then c.environment_generation when 0 then null else s.environment end,
	undistributed = -1 in (s.copy, s.environment)
from unnest($1::int8[], $2::int8[], $3::int8[]) s (id, copy, environment) where c.id = s.id
