-- role:   sealer
-- params: none
-- rows:   n of the table or function, what is not as it was made
-- why:    whoever means to change events first has to change one of these
with kept as (
	select c.oid, c.relname, c.relowner, c.relacl, c.relrowsecurity, case
		when c.relname in ('audit_leaf', 'audit_checkpoint') then c.relname else 'audit_event' end as kind
	from pg_class c where c.relnamespace = 'vestal'::regnamespace and (c.relname in ('audit_event', 'audit_leaf',
		'audit_checkpoint') or c.oid in (select inhrelid from pg_inherits where inhparent = 'vestal.audit_event'::regclass))
), wanted_trigger as (
	select k.oid, k.relname, k.kind || s.suffix as tgname, s.tgtype, s.word
	from kept k, (values ('_keep', 27, 'changing rows'), ('_keep_all', 34, 'truncating')) s(suffix, tgtype, word)
), may as (
	select k.relname, k.kind, a.grantee, a.privilege_type, null::name as attname
	from kept k, aclexplode(k.relacl) a where a.grantee <> k.relowner
	union all
	select k.relname, k.kind, a.grantee, a.privilege_type, c.attname
	from kept k join pg_attribute c on c.attrelid = k.oid and c.attnum > 0, aclexplode(c.attacl) a
	where a.grantee <> k.relowner
)
select w.relname, 'the trigger against ' || w.word || ' is missing, changed or off'
from wanted_trigger w where not exists (select from pg_trigger t where t.tgrelid = w.oid and t.tgname = w.tgname
	and t.tgtype = w.tgtype and t.tgenabled = 'A' and t.tgqual is null and t.tgnargs = 0 and t.tgattr = ''
	and t.tgfoid = 'vestal.audit_refuse()'::regprocedure)
union all
select k.relname, 'a trigger that was not made: ' || t.tgname
from kept k join pg_trigger t on t.tgrelid = k.oid
where not exists (select from wanted_trigger w where w.oid = t.tgrelid and w.tgname = t.tgname)
union all
select k.relname, 'a rule: ' || r.rulename from kept k join pg_rewrite r on r.ev_class = k.oid
union all
select k.relname, 'row security hides rows' from kept k where k.relrowsecurity
union all
select k.relname, 'it belongs to ' || k.relowner::regrole from kept k where k.relowner <> 'vestal_owner'::regrole
union all
select n.name, 'it is not there' from (values ('audit_event'), ('audit_leaf'), ('audit_checkpoint'),
	('audit_event_default')) n(name) where not exists (select from kept k where k.relname = n.name)
union all
select 'audit_refuse', 'the function does something else' where not exists (select from pg_proc p
	where p.oid = to_regprocedure('vestal.audit_refuse()') and p.proowner = 'vestal_owner'::regrole
	and regexp_replace(p.prosrc, '\s+', ' ', 'g') = ' begin raise exception ''audit events are never changed (% on %)'', tg_op, tg_table_name using errcode = ''42501''; end ')
union all
select a.attrelid::regclass::text, 'the default of ' || a.attname || ' is not the database''s word'
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = 'vestal.audit_event'::regclass and a.attname in ('at', 'xid', 'db_user')
	and pg_get_expr(d.adbin, d.adrelid) is distinct from case a.attname when 'at' then 'clock_timestamp()'
		when 'xid' then 'pg_current_xact_id()' else 'SESSION_USER' end
union all
select m.relname, coalesce(nullif(m.grantee, 0)::regrole::text, 'public') || ' may ' || lower(m.privilege_type)
	|| coalesce(' ' || m.attname, '')
from may m where not (m.relname = 'audit_event' and m.privilege_type = 'INSERT' and m.attname in ('host', 'program',
		'request_id', 'run_id', 'actor', 'actor_auth', 'address', 'user_agent', 'action', 'outcome', 'object_type',
		'object_id', 'client_id', 'provider', 'connection_id', 'incident_id', 'generation', 'key_id', 'fingerprint',
		'reason', 'severity', 'clock_ok', 'detail_text') and m.grantee in (select oid from pg_roles where rolname in
		('vestal_worker', 'vestal_refresher', 'vestal_operator', 'vestal_sealer'))
	or m.attname is null and m.grantee = (select oid from pg_roles where rolname = 'vestal_sealer')
		and (m.privilege_type = 'SELECT' or m.kind <> 'audit_event' and m.privilege_type = 'INSERT')
		and m.relname in ('audit_event', 'audit_leaf', 'audit_checkpoint'))
union all
select 'vestal_owner', m.member::regrole || ' may become it' from pg_auth_members m
where m.roleid = 'vestal_owner'::regrole and m.member <> 'vestal_operator'::regrole
union all
select 'vestal_sealer', m.member::regrole || ' may become it' from pg_auth_members m
where m.roleid = 'vestal_sealer'::regrole
order by 1, 2
