-- role:   owner
-- params: $1 int4 version, $2 text script
-- rows:   0..1 of whether the script is the one that was applied
select sha256 = encode(sha256(convert_to($2, 'UTF8')), 'hex') from vestal.schema_migration where version = $1
