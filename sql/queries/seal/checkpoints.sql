-- role:   sealer
-- params: none
-- rows:   n of number, origin, size, root, note, month it prunes or null, how many there are
select number, origin, size, root, note, pruned, count(*) over () from vestal.audit_checkpoint order by number
