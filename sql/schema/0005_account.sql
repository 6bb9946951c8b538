-- Whose account a connection is bound to, and the token of another account while it may still be accepted.

-- A keyed fingerprint (fcgi/vault/fingerprint.h): the database alone does not tell the account, nor can it be tried out.
alter table vestal.connection add column account_fingerprint text;

-- held_sealed: sealed for this attempt alone, used by nobody until an administrator accepts its account, and wiped when
-- held_until is over or another token has come. held_asked_at: when the provider was asked for it.
alter table vestal.authorization_attempt
	add column held_sealed bytea,
	add column held_until timestamptz,
	add column held_asked_at timestamptz,
	add check (num_nonnulls(held_until, held_asked_at) in (0, 2)),
	add check (held_sealed is null or held_until is not null);
create index authorization_attempt_held on vestal.authorization_attempt (connection_id) where held_until is not null;
