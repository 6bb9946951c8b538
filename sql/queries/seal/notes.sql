-- role:   sealer
-- params: $1 int8 after this number, $2 int8 at most
-- rows:   0..$2 of number, note, its day
select number, note, to_char(at, 'YYYY-MM-DD') from vestal.audit_checkpoint
where number > $1::int8 order by number limit $2::int8
