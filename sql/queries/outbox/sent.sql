-- role:   refresher
-- params: $1 int8[] messages, $2 text mail_id
-- rows:   0
update vestal.outbox set sent_at = now(), mail_id = $2, claimed_until = null, last_error = null
where id = any ($1) and sent_at is null
