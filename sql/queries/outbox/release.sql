-- role:   refresher
-- params: $1 int8[] messages
-- rows:   0
-- why:    claimed, and not tried after all
update vestal.outbox set claimed_until = null, attempts = attempts - 1 where id = any ($1) and sent_at is null
