-- role:   worker
-- params: $1 int8 connection, $2 int8 generation in history, $3 int8 generation that it becomes
-- rows:   0..1 of generation
-- why:    only while it still is what the last step put away (token/before.sql)
update vestal.token_history h set restored_as = $3
where connection_id = $1 and generation = $2 and restored_as is null and revocation is null
	and ended_by <> 'token.undone' and not exists (select from vestal.token_history n where n.connection_id = $1 and n.generation > $2
		and n.restored_as is null and n.ended_by <> 'token.undone')
returning generation
