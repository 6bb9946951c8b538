-- What renewal needs: leases, the mint meter, the state of providers and apps, the runs.

-- fence counts claims and never goes back; a lease is whose turn it is. tried_at: when the provider was last asked, or
-- was about to be. next_refresh_at null: there is nothing to renew. deferred_by says what moved it away from the
-- schedule. refusals: in a row, of the same grant. ambiguous_at: the first request since the last good answer whose
-- answer was lost, so that a rotating provider may have spent the refresh token. mints: the newest requests for a token.
-- undistributed: a store outside the database is not, or not known to be, what the row is.
alter table vestal.connection
	add column fence bigint not null default 0,
	add column lease_owner text,
	add column lease_until timestamptz,
	add column tried_at timestamptz,
	add column deferred_by text check (deferred_by in ('backoff', 'gate', 'quota', 'rate', 'refusal')),
	add column refusals integer not null default 0,
	add column ambiguous_at timestamptz,
	add column mints timestamptz[] not null default '{}',
	add column undistributed boolean not null default false,
	add column failing boolean not null generated always as (failures > 0) stored;

-- Everything the search for due connections looks at, so that it never touches the table.
create index connection_due on vestal.connection (provider, datacenter, failing, next_refresh_at)
	include (id, lease_until, client_id) where next_refresh_at is not null and removed_at is null and not passive;
create index connection_leased on vestal.connection (lease_owner) where lease_owner is not null;
create index connection_in_need on vestal.connection (id)
	where state in ('invalid', 'quarantined') or cause = 'app_credentials';
create index authorization_attempt_ended on vestal.authorization_attempt (ended_at) where ended_at is not null;
create index connection_undistributed on vestal.connection (id) where undistributed;
update vestal.connection c set undistributed = true
	where c.copy_generation is distinct from (select t.generation from vestal.token t where t.connection_id = c.id)
	or c.environment_generation is distinct from (select t.generation from vestal.token t where t.connection_id = c.id);

-- Gates: one for each provider's data centre (app_id null), which is also the list of where connections live, and one
-- for an app that had trouble. 'open' lets nobody through until retry_at, when one connection may try ('half_open').
-- failures: of the same code, in a row. openings: since it was last closed, each longer than the one before.
-- version: of the provider's definition that last got an answer.
create table vestal.provider_state (
	id bigint generated always as identity primary key,
	provider text not null check (provider ~ '^[a-z0-9_]{1,64}$'),
	datacenter text not null default '',
	app_id bigint references vestal.app,
	state text not null default 'closed' check (state in ('closed', 'open', 'half_open')),
	cause text not null default 'provider_outage',
	code text,
	failures integer not null default 0,
	openings integer not null default 0,
	since timestamptz not null default now(),
	retry_at timestamptz,
	version text,
	deaths timestamptz[] not null default '{}',
	unique nulls not distinct (provider, datacenter, app_id)
);
insert into vestal.provider_state (provider, datacenter)
	select distinct provider, datacenter from vestal.connection where app_id is not null;

-- An incident is of one connection, or of a gate and so of everything behind it.
alter table vestal.incident
	alter column connection_id drop not null,
	add column provider_state_id bigint references vestal.provider_state,
	add check (num_nonnulls(connection_id, provider_state_id) = 1);
create unique index incident_open_gate on vestal.incident (provider_state_id) where resolved_at is null;
create index incident_recent on vestal.incident (opened_at);

-- One run of the refresher. ended_at null: it goes on, or its process is gone.
create table vestal.refresh_run (
	id bigint generated always as identity primary key,
	host text not null,
	mode text not null check (mode in ('due', 'all', 'check')),
	started_at timestamptz not null default now(),
	ended_at timestamptz,
	exit_code integer,
	counts jsonb not null default '{}',
	error text
);
create index refresh_run_started on vestal.refresh_run (started_at desc);
