-- role:   owner
-- params: $1 int4 version, $2 text name, $3 text script
-- rows:   0
insert into vestal.schema_migration (version, name, sha256)
values ($1, $2, encode(sha256(convert_to($3, 'UTF8')), 'hex'))
