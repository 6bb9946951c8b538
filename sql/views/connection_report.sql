-- The health of every connection, judged in one place for lists, counts, alerts and metrics alike: what a person sees
-- as status, why it is so (cause), what helps (action) and who has to do it (owner). Nothing sealed is in it.
create or replace view vestal.connection_report as
with meaning (cause, action, owner) as (values
	('none', 'none', 'none'),
	('ambiguous_refusal', 'wait', 'provider'),
	('sealed_unreadable', 'investigate', 'operator'),
	('user_revoked', 'reauthorize', 'tenant'),
	('grant_expired', 'reauthorize', 'administrator'),
	('app_credentials', 'fix_app', 'operator'),
	('wrong_datacenter', 'reauthorize', 'administrator'),
	('scope_missing', 'ask_tenant', 'tenant'),
	('provider_outage', 'wait', 'provider'),
	('rate_limited', 'wait', 'provider'),
	('ambiguous_rotation', 'reauthorize', 'administrator'),
	('never_connected', 'reauthorize', 'administrator'),
	('removed', 'reauthorize', 'administrator'),
	('our_fault', 'investigate', 'operator')
), judged as (
	select c.*, t.generation, t.expires_at, least(t.grant_ends_at, t.idle_ends_at) as refresh_expires_at,
		case
		when t.connection_id is null then 'missing'
		when c.state in ('invalid', 'quarantined') then c.state
		when t.expires_at <= now() then 'expired'
		when c.cause = 'provider_outage' then 'unreachable'
		when c.cause = 'app_credentials' then 'expiring'
		when least(t.grant_ends_at, t.idle_ends_at) < now() + interval '7 days' then 'expiring'
		when c.overdue_at <= now() then 'expiring'
		else 'healthy'
		end as status
	from vestal.connection c left join vestal.token t on t.connection_id = c.id
	where c.removed_at is null
)
select j.id, j.client_id, j.provider, j.status, j.cause,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.action = 'none' and j.refresh_expires_at < now() + interval '7 days' then 'reauthorize'
		when m.action = 'none' and j.status <> 'healthy' then 'wait'
		else m.action end as action,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.owner = 'none' and j.refresh_expires_at < now() + interval '7 days' then 'administrator'
		when m.owner = 'none' and j.status <> 'healthy' then 'operator'
		else m.owner end as owner,
	j.expires_at, j.last_refreshed_at, j.last_proved_at, j.next_refresh_at, j.refresh_expires_at, j.failures,
	j.last_error_code, j.last_error_at, j.generation, j.datacenter, j.passive, j.copy_generation,
	j.environment_generation
from judged j join meaning m using (cause);
