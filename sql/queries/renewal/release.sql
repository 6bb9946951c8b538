-- role:   worker refresher
-- params: $1 text lease_owner
-- rows:   n of connection
-- why:    its process is gone, and what it left in its spool is settled: nobody has to wait for the end of the lease,
--         and who waits for the renewal is told
update vestal.connection set lease_owner = null, lease_until = null where lease_owner = $1
returning id, pg_notify('vestal_renewal', id::text)::text
