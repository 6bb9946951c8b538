-- Who may do what, whole: `vestalctl migrate` takes everything back and grants exactly this, so that the lists here are
-- the truth after every run. tests/integration/test_privileges.py holds the same as a matrix.

revoke all on all tables in schema vestal from public, vestal_worker, vestal_refresher, vestal_auditor, vestal_operator, vestal_sealer;
revoke all on all sequences in schema vestal from public, vestal_worker, vestal_refresher, vestal_auditor, vestal_operator, vestal_sealer;
revoke all on all functions in schema vestal from public, vestal_worker, vestal_refresher, vestal_auditor, vestal_operator, vestal_sealer;
revoke all on schema vestal from public;
grant usage on schema vestal to vestal_worker, vestal_refresher, vestal_auditor, vestal_operator, vestal_sealer;
grant execute on function vestal.rfc3339(timestamptz), vestal.seconds_left(timestamptz), vestal.in_a_week() to public;

-- the schema's version
grant select on vestal.schema_migration to vestal_worker, vestal_refresher, vestal_operator, vestal_sealer;

-- the audit trail: what a writer may say of itself, and nothing else
grant insert (host, program, request_id, run_id, actor, actor_auth, address, user_agent, action, outcome, object_type,
	object_id, client_id, provider, connection_id, incident_id, generation, key_id, fingerprint, reason, severity,
	clock_ok, detail_text)
	on vestal.audit_event to vestal_worker, vestal_refresher, vestal_operator, vestal_sealer;
grant execute on function vestal.audit_make_partitions(integer) to vestal_refresher, vestal_operator;

-- workers: flows and reads
grant select, insert (id, name), update (name, removed_at) on vestal.client to vestal_worker;
grant select on vestal.app to vestal_worker;
grant select, insert (client_id, provider), update (app_id, datacenter, api_domain, scope, kept, passive,
	last_generation, state, cause, failures, last_error_code, last_error_at, last_refreshed_at, last_proved_at,
	next_refresh_at, overdue_at, copy_generation, environment_generation, removed_at, account_fingerprint, fence, lease_owner, lease_until, tried_at,
	deferred_by, refusals, ambiguous_at, mints, undistributed)
	on vestal.connection to vestal_worker;
grant select, insert, delete, update (generation, access_sealed, refresh_sealed, access_fingerprint, refresh_fingerprint,
	token_type, issued_at, expires_at, grant_ends_at, idle_ends_at) on vestal.token to vestal_worker;
grant select, insert, update (spent, restored_as, revocation, revoke_since, revoke_due_at, revoke_tries) on vestal.token_history
	to vestal_worker;
grant select, insert, update (ended_at, outcome, held_sealed, held_until, held_asked_at)
	on vestal.authorization_attempt to vestal_worker;
grant select, insert, update (state, cause, reason, impact_start, opened_at, acknowledged_at,
	acknowledged_by, resolved_at, resolved_by, recovering_at, parent_id, flaps, note, remind_at)
	on vestal.incident to vestal_worker;
grant insert, select (message_id, incident_id, sent_at) on vestal.outbox to vestal_worker; -- on conflict reads what it names
grant select, update (last_used_on) on vestal.api_key to vestal_worker;
grant select on vestal.connection_report, vestal.refresh_run, vestal.v_incident_ttr, vestal.v_incident_timeline to vestal_worker;
grant select, insert (provider, datacenter, app_id, cause), update (state, cause, code, failures, openings, since, retry_at,
	version, deaths) on vestal.provider_state to vestal_worker, vestal_refresher;

-- refresher: the same tokens, no callers
grant select on vestal.client, vestal.app, vestal.connection_report to vestal_refresher;
grant select, update (api_domain, scope, account_fingerprint, last_generation, state, cause, failures, last_error_code, last_error_at,
	last_refreshed_at, last_proved_at, next_refresh_at, overdue_at, copy_generation, environment_generation, fence, lease_owner, lease_until, tried_at,
	deferred_by, refusals, ambiguous_at, mints, undistributed)
	on vestal.connection to vestal_refresher;
grant select, update (generation, access_sealed, refresh_sealed, access_fingerprint, refresh_fingerprint,
	token_type, issued_at, expires_at, grant_ends_at, idle_ends_at) on vestal.token to vestal_refresher;
grant select, insert, delete, update (spent, revocation, revoke_due_at, revoke_tries) on vestal.token_history to vestal_refresher;
grant select, insert, delete, update (ended_at, exit_code, counts, error) on vestal.refresh_run to vestal_refresher;
grant select, delete, update (ended_at, outcome, held_sealed) on vestal.authorization_attempt to vestal_refresher;
grant select, insert, update (state, cause, reason, impact_start, opened_at, resolved_at, resolved_by, recovering_at,
	parent_id, flaps, reminders, remind_at) on vestal.incident to vestal_refresher;
grant select, insert, update (next_attempt_at, attempts, sent_at, claimed_until, mail_id, withdrawn_at, last_error)
	on vestal.outbox to vestal_refresher;

-- checks: what both find, and what may still live of grants that were replaced
grant update (checked_at, found, found_at, found_generation) on vestal.connection to vestal_worker, vestal_refresher;
grant select (connection_id, refresh_fingerprint, ended_by) on vestal.token_history to vestal_operator;

-- operator: onboarding, callers, and a look at everything that is not sealed
grant select, insert (id, name), update (name, removed_at) on vestal.client to vestal_operator;
grant select, insert, update (oauth_client_id, secret_sealed, generation, redirect_uri, params, secret_ends_on,
	updated_at) on vestal.app to vestal_operator;
grant select, insert (client_id, provider), update (removed_at, account_fingerprint) on vestal.connection to vestal_operator;
grant select (connection_id, generation, access_fingerprint, refresh_fingerprint, token_type, issued_at, expires_at,
	granted_at, grant_ends_at, idle_ends_at) on vestal.token to vestal_operator;
grant select on vestal.incident, vestal.connection_report, vestal.refresh_run to vestal_operator;
grant update (state, acknowledged_at, acknowledged_by, note, remind_at, resolved_at, resolved_by) on vestal.incident
	to vestal_operator; -- resolved with a client that is removed
grant insert, select (message_id, incident_id, sent_at) on vestal.outbox to vestal_operator;
grant select, update (state, retry_at) on vestal.provider_state to vestal_operator;
grant select (id, name, role, clients, providers, addresses, created_at, expires_at, revoked_at, last_used_on),
	insert, update (revoked_at) on vestal.api_key to vestal_operator;

-- sealer: the trail whole, its proof, and of tokens what has to agree with it; the only one that writes the proof
grant select on vestal.audit_event to vestal_sealer;
grant select, insert on vestal.audit_leaf, vestal.audit_checkpoint to vestal_sealer;
grant select (connection_id, generation, access_fingerprint) on vestal.token to vestal_sealer;
grant select (id, client_id, provider) on vestal.connection to vestal_sealer;
grant execute on function vestal.audit_prune(date) to vestal_sealer;

-- auditor: views only
grant select on vestal.connection_report, vestal.v_audit_event, vestal.v_token_touch, vestal.v_override,
	vestal.v_login_failed, vestal.v_service_access, vestal.v_reauthorization, vestal.v_renewal,
	vestal.v_key_lifecycle, vestal.v_incident_ttr, vestal.v_incident_timeline, vestal.v_audit_seal to vestal_auditor, vestal_operator;
grant select on vestal.v_audit_seal to vestal_sealer;
