-- The audit trail. This table is final from its first row on: what it holds cannot be mended later.
-- Writers hold INSERT on the columns they may speak for; id, at, xid, db_user and salt are the database's word.

create table vestal.audit_event (
	id bigint generated always as identity,
	at timestamptz not null default clock_timestamp(),
	xid xid8 not null default pg_current_xact_id(),
	db_user name not null default session_user,
	salt bytea not null
		default substr(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 1, 16),
	schema_version smallint not null default 1,
	host text,
	program text not null,
	request_id text,
	run_id text,
	actor text not null,
	actor_auth text not null,
	address text,
	user_agent text check (length(user_agent) <= 200),
	action text not null check (action ~ '^[a-z_]+\.[a-z_]+$'),
	outcome text not null check (outcome in ('ok', 'denied', 'error', 'partial')),
	object_type text,
	object_id text,
	client_id text,
	provider text,
	connection_id bigint,
	incident_id bigint,
	generation bigint,
	key_id text,
	fingerprint text,
	reason text,
	severity text not null default 'info' check (severity in ('info', 'notice', 'warning', 'critical')),
	clock_ok boolean,
	detail_text text not null default '{}',
	detail jsonb generated always as (detail_text::jsonb) stored,
	primary key (id, at)
) partition by range (at);

create index audit_event_client on vestal.audit_event (client_id, at desc);
create index audit_event_action on vestal.audit_event (action text_pattern_ops, at desc);
create index audit_event_actor on vestal.audit_event (actor, at desc);
create index audit_event_incident on vestal.audit_event (incident_id) where incident_id is not null;

create function vestal.audit_refuse() returns trigger language plpgsql set search_path = '' as $$
begin
	raise exception 'audit events are never changed (% on %)', tg_op, tg_table_name using errcode = '42501';
end
$$;

create trigger audit_event_keep before update or delete on vestal.audit_event
	for each row execute function vestal.audit_refuse();
alter table vestal.audit_event enable always trigger audit_event_keep;
create trigger audit_event_keep_all before truncate on vestal.audit_event
	for each statement execute function vestal.audit_refuse();
alter table vestal.audit_event enable always trigger audit_event_keep_all;

-- A TRUNCATE trigger of the parent does not fire when a partition is truncated by its own name, and a cloned row
-- trigger can be switched off there: every partition gets both, always firing.
create function vestal.audit_guard(partition regclass) returns void language plpgsql set search_path = '' as $$
begin
	execute format('alter table %s enable always trigger audit_event_keep', partition);
	execute format('create trigger audit_event_keep_all before truncate on %s
		for each statement execute function vestal.audit_refuse()', partition);
	execute format('alter table %s enable always trigger audit_event_keep_all', partition);
end
$$;

-- Makes the partitions of this month and the next `months`. Returns how many were new.
create function vestal.audit_make_partitions(months integer default 12) returns integer
language plpgsql security definer set search_path = '' set timezone = 'UTC' as $$
declare
	first date;
	name text;
	made integer := 0;
begin
	perform pg_advisory_xact_lock(hashtext('vestal.audit_make_partitions'));
	for i in 0..least(months, 120) loop
		first := (date_trunc('month', now()) + make_interval(months => i))::date;
		name := format('audit_event_%s', to_char(first, 'YYYYMM'));
		-- A month that has rows in the default partition stays there: they can neither be moved nor deleted.
		if to_regclass('vestal.' || name) is null and not exists (select from vestal.audit_event_default
			where at >= first::timestamptz and at < (first + interval '1 month')::timestamptz) then
			execute format('create table vestal.%I partition of vestal.audit_event for values from (%L) to (%L)',
				name, first::timestamptz, (first + interval '1 month')::timestamptz);
			perform vestal.audit_guard(format('vestal.%I', name)::regclass);
			made := made + 1;
		end if;
	end loop;
	return made;
end
$$;
revoke all on function vestal.audit_make_partitions(integer), vestal.audit_guard(regclass), vestal.audit_refuse()
	from public;

create table vestal.audit_event_default partition of vestal.audit_event default;
select vestal.audit_guard('vestal.audit_event_default');
select vestal.audit_make_partitions();
