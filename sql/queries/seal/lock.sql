-- role:   sealer
-- params: none
-- rows:   1 of whether the sealing is ours until the transaction ends
select pg_try_advisory_xact_lock(hashtext('vestal.audit_seal'))
