-- role:   sealer
-- params: $1 int8 the first leaf's index, $2 int8[] events, $3 int8[] their times in microseconds, $4 bytea their hashes, one after another
-- rows:   0
insert into vestal.audit_leaf (leaf_index, event_id, at, hash)
select $1::int8 + i - 1, event, timestamptz 'epoch' + us * interval '1 microsecond',
	substr($4::bytea, (32 * (i - 1) + 1)::integer, 32)
from unnest($2::int8[], $3::int8[]) with ordinality p(event, us, i)
