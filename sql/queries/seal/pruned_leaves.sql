-- role:   sealer
-- params: $1 timestamptz from, $2 timestamptz to, before it
-- rows:   n of leaf, event, at in microseconds, hash
select leaf_index, event_id, (extract(epoch from at) * 1000000)::int8, encode(hash, 'hex')
from vestal.audit_leaf where at >= $1::timestamptz and at < $2::timestamptz order by leaf_index
