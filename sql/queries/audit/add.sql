-- role:   worker refresher operator sealer
-- params: $1 text host, $2 text program, $3 text request_id, $4 text actor, $5 text actor_auth, $6 text address, $7 text user_agent, $8 text action, $9 text outcome, $10 text client, $11 text provider, $12 int8 connection, $13 int8 incident, $14 int8 generation, $15 text fingerprint, $16 text reason, $17 text detail, $18 text object_type, $19 text object_id, $20 text key_id
-- rows:   0
insert into vestal.audit_event (host, program, request_id, actor, actor_auth, address, user_agent, action, outcome,
	client_id, provider, connection_id, incident_id, generation, fingerprint, reason, detail_text, object_type,
	object_id, key_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, coalesce($17, '{}'), $18, $19, $20)
