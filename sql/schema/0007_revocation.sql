-- Revocations: a token that was removed is to end at its provider too. Written down in the removal's own commit, before
-- the provider is asked, so that no crash forgets one. revocation: null, nobody asked for it; 'pending' until
-- revoke_due_at and a try after that, tried since revoke_since; the rest is the last word.

alter table vestal.token_history
	add column revocation text check (revocation in ('pending', 'accepted', 'gone', 'unconfirmed')),
	add column revoke_since timestamptz,
	add column revoke_due_at timestamptz,
	add column revoke_tries integer not null default 0,
	add check ((revocation = 'pending') = (revoke_due_at is not null));
create index token_history_revocation on vestal.token_history (revoke_due_at) where revoke_due_at is not null;
