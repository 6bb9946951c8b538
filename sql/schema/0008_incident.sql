-- The course of an incident, and how people are told of it.

-- impact_start: the first moment a consumer could not get a live token; still to come while the last access token lives,
-- null where none ever runs out. opened_at null: no more than a suspicion. recovering_at: proved, and not yet everywhere.
-- parent_id: of many that opened together, the one that speaks. flaps: how often it was over and came back. quiet: nobody
-- is told, for the connection never worked. remind_at: when people are told again that it is still open.
alter table vestal.incident
	alter column impact_start drop not null,
	alter column impact_start drop default,
	alter column opened_at drop not null,
	add column recovering_at timestamptz,
	add column parent_id bigint references vestal.incident,
	add column flaps integer not null default 0,
	add column quiet boolean not null default false,
	add column note text,
	add column reminders integer not null default 0,
	add column remind_at timestamptz not null default now() + interval '1 hour';
create index incident_of_connection on vestal.incident (connection_id, id) where connection_id is not null;
create index incident_of_gate on vestal.incident (provider_state_id, id) where provider_state_id is not null;
create index incident_children on vestal.incident (parent_id) where parent_id is not null;
create index incident_unresolved on vestal.incident (remind_at) where resolved_at is null;

-- claimed_until: a refresher is sending it. mail_id: the Message-ID it went under, shared by what went in one digest.
-- withdrawn_at: it need not be told any more. last_error: a closed word, or the server's code.
alter table vestal.outbox
	add column claimed_until timestamptz,
	add column mail_id text,
	add column withdrawn_at timestamptz,
	add column last_error text;
drop index vestal.outbox_pending;
create index outbox_pending on vestal.outbox (next_attempt_at) where sent_at is null and withdrawn_at is null;
create index outbox_sent on vestal.outbox (sent_at) where sent_at is not null;
create index outbox_of_incident on vestal.outbox (incident_id) where incident_id is not null;

create index token_grant_ends on vestal.token (grant_ends_at) where grant_ends_at is not null;
