-- role:   refresher
-- params: none
-- rows:   1 of nothing
-- why:    two that claim at once would each spend the whole budget
select pg_advisory_xact_lock(hashtext('vestal.outbox'))::text
