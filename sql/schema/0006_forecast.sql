-- What checks find, beside what renewals say: a provider may renew a token that its API does not take.

-- checked_at: when a check last came by, which orders the next one. found: why the last probe that said anything did not
-- prove the token, null when it did; found_generation: the token it was of. What a probe found is its own: no renewal
-- mends it, except where the view says so, and the next good probe does.
alter table vestal.connection
	add column checked_at timestamptz,
	add column found text check (found in ('ambiguous_refusal', 'app_credentials', 'our_fault', 'provider_outage', 'scope_missing')),
	add column found_at timestamptz,
	add column found_generation bigint;
create index connection_found_app on vestal.connection (id) where found = 'app_credentials';
create index app_secret_ends on vestal.app (secret_ends_on) where secret_ends_on is not null;
