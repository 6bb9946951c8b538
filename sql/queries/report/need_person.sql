-- role:   refresher
-- params: $1 text client or null, $2 text provider or null
-- rows:   1 of how many need a person, of them to be authorized again, to have their app mended, to be investigated
-- why:    whatever else is wrong mends itself, or never worked; only those of which the view could say it are looked at, one
--         by one (offset 0), and what is behind the closed gate of an app, which may be all there is, is counted as it is
with behind_gate as (
	select count(*) as n from vestal.provider_state s
		join vestal.connection c on c.app_id = s.app_id and c.datacenter = s.datacenter
	where s.state <> 'closed' and s.cause = 'app_credentials' and c.removed_at is null and c.state <> 'missing'
		and ($1::text is null or c.client_id = $1) and ($2::text is null or c.provider = $2)
), judged as (
	select r.action from vestal.connection c, lateral (
		select v.status, v.cause, v.action from vestal.connection_report v where v.id = c.id offset 0) r
	where c.removed_at is null and (c.state in ('invalid', 'quarantined') or c.cause = 'app_credentials' or c.found = 'app_credentials')
		and ($1::text is null or c.client_id = $1) and ($2::text is null or c.provider = $2)
		and not exists (select from vestal.provider_state s where s.app_id = c.app_id and s.datacenter = c.datacenter
			and s.state <> 'closed' and s.cause = 'app_credentials')
		and (r.status in ('invalid', 'quarantined') or (r.cause = 'app_credentials' and r.status <> 'missing'))
)
select count(j.action) + g.n, count(*) filter (where j.action = 'reauthorize'),
	count(*) filter (where j.action = 'fix_app') + g.n, count(*) filter (where j.action = 'investigate')
from behind_gate g left join judged j on true
group by g.n
