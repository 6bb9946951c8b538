-- Clients, apps, connections, tokens and the flows that make them.
-- Columns named *_sealed hold sealed bytes only (fcgi/vault/seal.h); nothing else here is secret.

create table vestal.client (
	id text primary key check (id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
	name text not null check (length(name) between 1 and 200),
	created_at timestamptz not null default now(),
	removed_at timestamptz
);

-- The OAuth application used with a provider: one for all clients (client_id null), or a client's own.
create table vestal.app (
	id bigint generated always as identity primary key,
	provider text not null check (provider ~ '^[a-z0-9_]{1,64}$'),
	client_id text references vestal.client,
	datacenter text not null default '',
	oauth_client_id text not null,
	secret_sealed bytea not null,
	generation bigint not null default 1,
	redirect_uri text not null,
	params jsonb not null default '{}',
	secret_ends_on date,
	created_at timestamptz not null default now(),
	updated_at timestamptz not null default now(),
	unique nulls not distinct (provider, client_id, datacenter)
);

-- A client at a provider. last_generation counts for ever: a generation is never used twice, whatever becomes of the
-- token, and a connection taken away (removed_at) keeps its row. state is what the provider last said of the grant;
-- cause is why it is not better.
create table vestal.connection (
	id bigint generated always as identity primary key,
	client_id text not null references vestal.client,
	provider text not null check (provider ~ '^[a-z0-9_]{1,64}$'),
	app_id bigint references vestal.app,
	datacenter text not null default '',
	api_domain text,
	scope text,
	kept jsonb not null default '{}',
	passive boolean not null default false,
	last_generation bigint not null default 0,
	state text not null default 'missing' check (state in ('missing', 'live', 'invalid', 'quarantined')),
	cause text not null default 'never_connected' check (cause in ('none', 'ambiguous_refusal',
		'sealed_unreadable', 'user_revoked', 'grant_expired', 'app_credentials', 'wrong_datacenter',
		'scope_missing', 'provider_outage', 'rate_limited', 'ambiguous_rotation', 'never_connected',
		'removed', 'our_fault')),
	failures integer not null default 0,
	last_error_code text,
	last_error_at timestamptz,
	last_refreshed_at timestamptz,
	last_proved_at timestamptz,
	next_refresh_at timestamptz,
	overdue_at timestamptz,
	copy_generation bigint,
	environment_generation bigint,
	created_at timestamptz not null default now(),
	removed_at timestamptz,
	unique (client_id, provider)
);

create table vestal.token (
	connection_id bigint primary key references vestal.connection,
	generation bigint not null,
	access_sealed bytea not null,
	refresh_sealed bytea,
	access_fingerprint text not null,
	refresh_fingerprint text,
	token_type text not null,
	issued_at timestamptz not null,
	expires_at timestamptz,
	granted_at timestamptz not null,
	grant_ends_at timestamptz,
	idle_ends_at timestamptz
);

-- What a token was before it was replaced or removed, still sealed: who ended it, how and why.
create table vestal.token_history (
	connection_id bigint not null references vestal.connection,
	generation bigint not null,
	access_sealed bytea not null,
	refresh_sealed bytea,
	access_fingerprint text not null,
	refresh_fingerprint text,
	token_type text not null,
	issued_at timestamptz not null,
	expires_at timestamptz,
	granted_at timestamptz not null,
	grant_ends_at timestamptz,
	idle_ends_at timestamptz,
	ended_at timestamptz not null default now(),
	ended_by text not null,
	ended_actor text not null,
	ended_reason text,
	primary key (connection_id, generation)
);

-- Trouble with a connection, from its first moment until a live token is proved and distributed.
create table vestal.incident (
	id bigint generated always as identity primary key,
	connection_id bigint not null references vestal.connection,
	cause text not null,
	state text not null default 'open'
		check (state in ('suspected', 'open', 'acknowledged', 'recovering', 'resolved')),
	impact_start timestamptz not null default now(),
	detected_at timestamptz not null default now(),
	opened_at timestamptz not null default now(),
	opened_by text not null,
	reason text,
	acknowledged_at timestamptz,
	acknowledged_by text,
	resolved_at timestamptz,
	resolved_by text
);
create unique index incident_open on vestal.incident (connection_id) where resolved_at is null;

-- One authorization-code flow. The state is a bearer credential: only its hash is kept, and it is used once.
create table vestal.authorization_attempt (
	id bigint generated always as identity primary key,
	state_hash bytea not null unique,
	connection_id bigint not null references vestal.connection,
	app_id bigint not null references vestal.app,
	incident_id bigint references vestal.incident,
	kind text not null check (kind in ('authorize', 'emergency')),
	datacenter text not null,
	verifier_sealed bytea,
	actor text not null,
	created_at timestamptz not null default now(),
	expires_at timestamptz not null,
	ended_at timestamptz,
	outcome text
);
create index authorization_attempt_pending on vestal.authorization_attempt (expires_at) where ended_at is null;

-- What people have to be told, written in the transaction of what happened. message_id is stable per transition.
create table vestal.outbox (
	id bigint generated always as identity primary key,
	message_id text not null unique,
	kind text not null,
	incident_id bigint references vestal.incident,
	connection_id bigint references vestal.connection,
	payload jsonb not null default '{}',
	created_at timestamptz not null default now(),
	next_attempt_at timestamptz not null default now(),
	attempts integer not null default 0,
	sent_at timestamptz
);
create index outbox_pending on vestal.outbox (next_attempt_at) where sent_at is null;

-- hash is SHA-256 of the 256-bit secret. clients and providers null: all of them.
create table vestal.api_key (
	id text primary key check (id ~ '^[a-z0-9]{12}$'),
	name text not null check (length(name) between 1 and 200),
	role text not null check (role in ('admin', 'operator', 'auditor', 'service')),
	hash bytea not null check (length(hash) = 32),
	clients text[],
	providers text[],
	addresses cidr[],
	created_at timestamptz not null default now(),
	expires_at timestamptz,
	revoked_at timestamptz,
	last_used_on date,
	check (cardinality(clients) > 0 and cardinality(providers) > 0 and cardinality(addresses) > 0)
);
