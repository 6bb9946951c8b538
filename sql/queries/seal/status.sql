-- role:   operator sealer
-- params: none
-- rows:   1 of size, seconds since the newest checkpoint or null, events not sealed, seconds since the oldest of them or null
select size, checkpoint_age_s, waiting, oldest_s from vestal.v_audit_seal
