-- role:   worker refresher
-- params: $1 int8 connection, $2 int8 generation
-- rows:   0..1 of id
-- why:    a token that does not open is nobody's to send; unless another one has come meanwhile
update vestal.connection c set state = 'quarantined', cause = 'sealed_unreadable'
from vestal.token t
where c.id = $1 and t.connection_id = c.id and t.generation = $2 and c.last_generation = $2 and c.cause <> 'sealed_unreadable'
returning c.id
