-- The health of every connection, judged in one place for lists, counts, alerts and metrics alike: what a person sees
-- as status, why it is so (cause), what helps (action) and who has to do it (owner). Nothing sealed is in it.
-- A shut gate speaks for all behind it: an app's credentials for every connection of the app, a provider that cannot be
-- asked for those whose turn has come. What a probe found counts for the grant it was of: an access token that was refused
-- until there is another one, an outage or an app's refusal until a renewal got through. Green is what was proved, by a probe or a renewal:
-- two daily checks that proved nothing are an operator's business. What ends within 7 days is told before it does.
-- Flat, and without `with`: so an ordered page of it is read in the order of an index, and what several columns say
-- (`offset 0`) is judged once a row.
create or replace view vestal.connection_report as
select c.id, c.client_id, c.provider, j.status, j.why as cause,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.action = 'none' and (g.refresh_expires_at < now() + interval '7 days'
			or (j.status = 'expired' and t.refresh_fingerprint is null)) then 'reauthorize'
		when m.action = 'none' and g.secret_ends then 'fix_app'
		when m.action = 'none' and j.status <> 'healthy' then 'wait'
		else m.action end as action,
	case when j.status = 'healthy' and m.action <> 'ask_tenant' then 'none'
		when m.action = 'none' and (g.refresh_expires_at < now() + interval '7 days'
			or (j.status = 'expired' and t.refresh_fingerprint is null)) then 'administrator'
		when m.action = 'none' and j.status <> 'healthy' then 'operator'
		when m.action = 'none' then 'none'
		when m.action = 'wait' then 'provider'
		when m.action in ('fix_app', 'investigate') then 'operator'
		when m.action = 'ask_tenant' or j.why = 'user_revoked' then 'tenant'
		else 'administrator' end as owner,
	t.expires_at, c.last_refreshed_at, c.last_proved_at, c.next_refresh_at, g.refresh_expires_at, c.failures,
	c.last_error_code, c.last_error_at, t.generation, c.datacenter, c.passive, c.copy_generation,
	c.environment_generation
from vestal.connection c left join vestal.token t on t.connection_id = c.id
	left join vestal.provider_state p on p.provider = c.provider and p.datacenter = c.datacenter and p.app_id is null
		and p.state <> 'closed'
	left join vestal.provider_state a on a.provider = c.provider and a.datacenter = c.datacenter and a.app_id = c.app_id
		and a.state <> 'closed'
	cross join lateral (select least(t.grant_ends_at, t.idle_ends_at) as refresh_expires_at,
		-- asked once for all rows, and of a row only when any secret ends: that of the owner's app in the connection's
		-- data centre, else its app's own
		exists (select from vestal.app e where e.secret_ends_on < vestal.in_a_week()) and coalesce(
			(select coalesce(s.secret_ends_on < vestal.in_a_week(), false) from vestal.app o join vestal.app s
				on s.provider = o.provider and s.datacenter = c.datacenter
				and (s.client_id = o.client_id or s.client_id is null and o.client_id is null)
				where o.id = c.app_id),
			(select o.secret_ends_on < vestal.in_a_week() from vestal.app o where o.id = c.app_id), false) as secret_ends
		offset 0) g
	cross join lateral (select w.why,
		case
		when t.connection_id is null then 'missing'
		when c.state in ('invalid', 'quarantined') then c.state
		when t.expires_at <= now() or w.found = 'ambiguous_refusal' then 'expired'
		when w.why in ('provider_outage', 'our_fault') then 'unreachable'
		when w.why = 'app_credentials' then 'expiring'
		when g.refresh_expires_at < now() + interval '7 days' then 'expiring'
		when g.secret_ends then 'expiring'
		when c.overdue_at <= now() then 'expiring'
		else 'healthy'
		end as status
		from (select case
			when t.connection_id is null then c.cause
			when a.id is not null then a.cause
			when p.id is not null and c.cause = 'none' and (c.next_refresh_at <= now() or c.deferred_by = 'gate') then p.cause
			when c.state = 'live' and c.cause in ('none', 'scope_missing') and f.found is not null then f.found
			when c.state = 'live' and c.cause in ('none', 'scope_missing') and c.last_proved_at < now() - interval '50 hours'
				then 'our_fault'
			else c.cause
			end as why, f.found
			from (select case
				when c.found is null or c.found_at < t.granted_at or t.connection_id is null then null
				when c.found = 'ambiguous_refusal' and c.found_generation <> t.generation then null
				when c.found in ('provider_outage', 'app_credentials') and c.found_at <= c.last_refreshed_at then null
				else c.found end as found) f) w offset 0) j
	cross join lateral (select case
		when j.why = 'none' then 'none'
		when j.why in ('ambiguous_refusal', 'provider_outage', 'rate_limited') then 'wait'
		when j.why = 'app_credentials' then 'fix_app'
		when j.why = 'scope_missing' then 'ask_tenant'
		when j.why in ('sealed_unreadable', 'our_fault') then 'investigate'
		else 'reauthorize'
		end as action) m
where c.removed_at is null;
