-- Where the schema's own history is kept. Run before every other file, each time.

select pg_advisory_xact_lock(hashtext('vestal.migrate'));

create schema if not exists vestal;

create table if not exists vestal.schema_migration (
	version integer primary key,
	name text not null,
	sha256 text not null,
	applied_at timestamptz not null default now()
);
