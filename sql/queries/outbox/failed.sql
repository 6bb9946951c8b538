-- role:   refresher
-- params: $1 int8[] messages, $2 int8 seconds until the next try, $3 text error
-- rows:   0
update vestal.outbox set claimed_until = null, next_attempt_at = now() + make_interval(secs => $2::int8), last_error = $3
where id = any ($1) and sent_at is null
