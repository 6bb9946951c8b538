-- role:   sealer
-- params: $1 int8 number, $2 text origin, $3 int8 size, $4 bytea root, $5 bytea frontier, $6 text horizon, $7 text the month it prunes or null, $8 text note
-- rows:   0
insert into vestal.audit_checkpoint (number, origin, size, root, frontier, horizon, pruned, note)
values ($1, $2, $3, $4, $5, $6::text::xid8, $7, $8)
