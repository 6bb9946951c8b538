-- The health of every connection, judged in one place for lists, counts, alerts and metrics alike: what a person sees
-- as status, why it is so (cause), what helps (action) and who has to do it (owner). Nothing sealed is in it.
-- A shut gate speaks for all behind it: an app's credentials for every connection of the app, a provider that cannot be
-- asked for those whose turn has come.
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
), gated as (
	select c.*, t.connection_id is not null as holds, t.refresh_fingerprint is not null as renewable, t.generation, t.expires_at,
		least(t.grant_ends_at, t.idle_ends_at) as refresh_expires_at,
		case
		when t.connection_id is null then c.cause
		when a.state <> 'closed' then a.cause
		when p.state <> 'closed' and c.cause = 'none' and (c.next_refresh_at <= now() or c.deferred_by = 'gate') then p.cause
		else c.cause
		end as why
	from vestal.connection c left join vestal.token t on t.connection_id = c.id
		left join vestal.provider_state p on p.provider = c.provider and p.datacenter = c.datacenter and p.app_id is null
		left join vestal.provider_state a on a.provider = c.provider and a.datacenter = c.datacenter and a.app_id = c.app_id
	where c.removed_at is null
), judged as (
	select g.*,
		case
		when not g.holds then 'missing'
		when g.state in ('invalid', 'quarantined') then g.state
		when g.expires_at <= now() then 'expired'
		when g.why = 'provider_outage' then 'unreachable'
		when g.why = 'app_credentials' then 'expiring'
		when g.refresh_expires_at < now() + interval '7 days' then 'expiring'
		when g.overdue_at <= now() then 'expiring'
		else 'healthy'
		end as status
	from gated g
)
select j.id, j.client_id, j.provider, j.status, j.why as cause,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.action = 'none' and (j.refresh_expires_at < now() + interval '7 days'
			or (j.status = 'expired' and not j.renewable)) then 'reauthorize'
		when m.action = 'none' and j.status <> 'healthy' then 'wait'
		else m.action end as action,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.owner = 'none' and (j.refresh_expires_at < now() + interval '7 days'
			or (j.status = 'expired' and not j.renewable)) then 'administrator'
		when m.owner = 'none' and j.status <> 'healthy' then 'operator'
		else m.owner end as owner,
	j.expires_at, j.last_refreshed_at, j.last_proved_at, j.next_refresh_at, j.refresh_expires_at, j.failures,
	j.last_error_code, j.last_error_at, j.generation, j.datacenter, j.passive, j.copy_generation,
	j.environment_generation
from judged j join meaning m on m.cause = j.why;
