-- role:   owner
-- params: none
-- rows:   1 of version
select coalesce(max(version), 0) from vestal.schema_migration
