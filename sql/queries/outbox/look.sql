-- role:   refresher
-- params: none
-- rows:   1 of how many wait, mails of the last hour (those on their way included), whether a digest went lately
select (select count(*) from vestal.outbox o where o.sent_at is null and o.withdrawn_at is null and o.next_attempt_at <= now()
		and (o.claimed_until is null or o.claimed_until <= now())),
	(select count(distinct o.mail_id) from vestal.outbox o where o.sent_at > now() - interval '1 hour')
		+ (select count(*) from vestal.outbox o where o.sent_at is null and o.claimed_until > now()),
	exists (select from vestal.outbox o where o.sent_at > now() - interval '15 minutes' and o.mail_id like '<digest-%')
