-- The proof of the audit trail: a leaf for every event, and signed checkpoints of the tree they make. Like the events
-- they are never changed; leaves outlive the months that are pruned.

create index audit_event_order on vestal.audit_event (xid, id);

create table vestal.audit_leaf (
	leaf_index bigint primary key check (leaf_index >= 0),
	event_id bigint not null,
	at timestamptz not null,
	hash bytea not null check (length(hash) = 32),
	unique (event_id, at)
);

create table vestal.audit_checkpoint (
	number bigint primary key check (number > 0),
	at timestamptz not null default clock_timestamp(),
	origin text not null,
	size bigint not null check (size >= 0),
	root bytea not null check (length(root) = 32),
	frontier bytea not null,
	horizon xid8 not null,
	pruned text,
	note text not null
);

create trigger audit_leaf_keep before update or delete on vestal.audit_leaf
	for each row execute function vestal.audit_refuse();
alter table vestal.audit_leaf enable always trigger audit_leaf_keep;
create trigger audit_leaf_keep_all before truncate on vestal.audit_leaf
	for each statement execute function vestal.audit_refuse();
alter table vestal.audit_leaf enable always trigger audit_leaf_keep_all;
create trigger audit_checkpoint_keep before update or delete on vestal.audit_checkpoint
	for each row execute function vestal.audit_refuse();
alter table vestal.audit_checkpoint enable always trigger audit_checkpoint_keep;
create trigger audit_checkpoint_keep_all before truncate on vestal.audit_checkpoint
	for each statement execute function vestal.audit_refuse();
alter table vestal.audit_checkpoint enable always trigger audit_checkpoint_keep_all;

-- Drops one month's partition. The caller says in a signed checkpoint of the same transaction that it does; what can be
-- checked here is checked here: the month is over, every row has its leaf, and the newest export of the whole month,
-- whose own event is sealed, held as many rows as there are. Dropping locks the whole trail for a moment: whoever waits
-- for that makes writers wait behind him, so nobody waits long.
create function vestal.audit_prune(month date) returns bigint language plpgsql strict security definer
set search_path = '' set timezone = 'UTC' set lock_timeout = '1s' as $$
declare
	word text := to_char(month, 'YYYY-MM');
	name text := 'audit_event_' || to_char(month, 'YYYYMM');
	held bigint;
	exported bigint;
begin
	if month <> date_trunc('month', month) or month >= date_trunc('month', now())::date then
		raise exception 'only whole months that are over are pruned' using errcode = '55000';
	end if;
	if to_regclass('vestal.' || name) is null then
		raise exception 'there is no such month' using errcode = '55000';
	end if;
	perform pg_advisory_xact_lock(hashtext('vestal.audit_make_partitions'));
	execute format('lock table vestal.%I in share mode', name); -- counting may take a while, and readers go on
	execute format('select count(*) from vestal.%I', name) into held;
	execute format('select count(*) from vestal.%I e where not exists
		(select from vestal.audit_leaf l where l.event_id = e.id and l.at = e.at)', name) into exported;
	if exported > 0 then
		raise exception 'the month holds rows that are not sealed' using errcode = '55000';
	end if;
	select (e.detail->>'rows')::bigint into exported from vestal.audit_event e
		join vestal.audit_leaf l on l.event_id = e.id and l.at = e.at
		where e.action = 'audit.exported' and e.outcome = 'ok' and e.object_type = 'month' and e.object_id = word
		order by e.at desc limit 1;
	if exported is distinct from held then
		raise exception 'the month was not exported as it is' using errcode = '55000';
	end if;
	if not exists (select from vestal.audit_checkpoint c where c.pruned = word) then
		raise exception 'no checkpoint says that the month is pruned' using errcode = '55000';
	end if;
	execute format('drop table vestal.%I', name);
	return held;
end
$$;
revoke all on function vestal.audit_prune(date) from public;
