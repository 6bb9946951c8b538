-- role:   worker refresher
-- params: $1 jsonb findings as an array (fcgi/store/check.c)
-- rows:   0
-- why:    under the connections' locks. A finding is of the token that was asked: when another one has come meanwhile, it
--         says nothing. A provider that answers is there: what waited for it since a renewal failed is due at once. A scope
--         that the provider took away by word is not given back by a probe that needs less. A token that nothing can renew is
--         dead when another check, 10 minutes later or more, finds it refused again: one outage kills nobody
with finding as (
	select * from jsonb_to_recordset($1::jsonb) as x (id int8, generation int8, says bool, alive bool, dead bool, found text,
		code text, scope_is_whole bool)
), judged as (
	select f.*, f.says and t.generation is not distinct from f.generation as counts,
		f.alive and (c.cause = 'provider_outage' or (c.cause = 'our_fault' and c.failures = 0)
			or (c.cause = 'scope_missing' and f.found is null and f.scope_is_whole)) as mends,
		f.alive and c.cause = 'provider_outage' and c.deferred_by = 'backoff' as resumes, 
		f.dead and c.state = 'live' and c.found = 'ambiguous_refusal' and c.found_generation = f.generation
			and c.found_at < now() - interval '10 minutes' as dies,
		c.found = 'ambiguous_refusal' and f.found = 'ambiguous_refusal' and c.found_generation = f.generation as repeats
	from finding f join vestal.connection c on c.id = f.id left join vestal.token t on t.connection_id = f.id
)
update vestal.connection c set checked_at = now(),
	last_proved_at = case when j.counts and j.alive then now() else c.last_proved_at end,
	found = case when j.counts then j.found else c.found end,
	found_at = case when j.counts and j.repeats is not true then now() else c.found_at end,
	found_generation = case when j.counts then j.generation else c.found_generation end,
	state = case when j.counts and j.dies then 'invalid' else c.state end,
	cause = case when j.counts and j.dies then 'user_revoked' when j.counts and j.mends then 'none' else c.cause end,
	next_refresh_at = case when j.counts and j.resumes then least(c.next_refresh_at, now()) else c.next_refresh_at end,
	deferred_by = case when j.counts and j.resumes then null else c.deferred_by end,
	last_error_code = case when j.counts and j.code is not null then j.code else c.last_error_code end,
	last_error_at = case when j.counts and j.code is not null then now() else c.last_error_at end
from judged j where c.id = j.id
