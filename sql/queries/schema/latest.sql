-- role:   owner worker refresher operator sealer
-- params: none
-- rows:   1 of version, 0 before the first
select coalesce(max(version), 0) from vestal.schema_migration
