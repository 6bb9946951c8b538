"""The manual override: tokens that an administrator brings, tried at the provider before anything changes.

What became of a token is asked of the simulator. A refusal is compared by the whole content of all tables.
"""

import json
import secrets
import signal
import socket
import time

import frames
import pytest
from harness import DEFAULT_CLIENT, MARKER, Tenant, eventually
from renewal_harness import PATIENT, no_fault_left, place  # noqa: F401
from rows import at_once
from test_fastcgi import params_of, request

URL = "/api/zoho/manual-token-update"


def issued(connection, datacenter="us", user=None, app_id=None, **more):
    """A grant of the connection's user that nobody here knows of."""
    body = {"client_id": app_id or connection.app_id, "user": user or connection.user, "datacenter": datacenter, **more}
    (grant,) = connection.sim.control("issue", body)["grants"]
    return grant


def override(connection, key="", **body):
    body = {"clientId": connection.id, "provider": connection.provider, "reason": "the old one leaked"} | body
    return connection.stack.api("POST", URL, {name: value for name, value in body.items() if value is not None}, key=key)


def override_there(connection, **body):
    """Into another data centre, where the provider calls the same person by another name."""
    answer = override(connection, **body)
    assert answer.problem(409, "account_changed") == [], answer
    return override(connection, acceptAccount=answer.json["found"], **body)


def accepted(answer, generation, status="healthy", dry=False):
    assert answer.status == 200, answer
    said = answer.json
    assert (said["success"], said["status"], said["generation"], said["dryRun"]) == (True, status, generation, dry), said
    assert said["persisted"] == dict.fromkeys(("database", "file", "environment"), not dry), said


def declined(connection):
    """(outcome, cause, reason) of the events of refusals."""
    return [(e["outcome"], e["detail"]["cause"], e["reason"]) for e in connection.events("token.override_refused")]


def refused(connection, status, slug, cause, words="", **body):
    """The answer of an override that has to change nothing; the one event says why."""
    before, events = connection.stack.tables(), len(declined(connection))
    answer = override(connection, **body)
    answer.problem(status, slug)
    assert connection.stack.tables() == before, "a refusal changed something"
    assert words in answer.json["detail"], answer.json["detail"]
    found = declined(connection)
    assert len(found) == events + 1 and found[-1][1:] == (cause, "the old one leaked"), found
    assert found[-1][0] == ("denied" if status < 500 else "error")
    for token in (body.get("refresh_token"), body.get("access_token")):
        assert token is None or token.encode() not in answer.body
    return answer


def history(connection):
    return connection.stack.sql(
        "select h.generation, h.ended_by, h.ended_actor, h.ended_reason, h.refresh_sealed is not null, h.spent, h.restored_as"
        " from vestal.token_history h join vestal.connection c on c.id = h.connection_id"
        " where c.client_id = %s and c.provider = %s order by 1", connection.id, connection.provider)  # fmt: skip


def emergency(connection):
    body = {"clientId": connection.id, "provider": connection.provider}
    return connection.stack.api("POST", "/api/zoho/emergency-reauth", body).json["incidentId"]


# --- accepted


def test_a_refresh_token(place):
    connection = place.own()
    incident, grant = emergency(connection), issued(connection)
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)

    connection.whole(generation=2)
    served = connection.serves()
    assert served not in (grant["access_token"], connection.issued()[0]), "what was not proved was kept"
    (event,) = connection.events("token.override")
    assert (event["outcome"], event["generation"], event["reason"]) == ("ok", 2, "the old one leaked"), event
    assert event["actor"].startswith("key:") and event["fingerprint"]
    assert [row[:5] for row in history(connection)] == [(1, "token.override", event["actor"], "the old one leaked", True)]
    assert connection.row()["mints"] == 1, "a refresh is a request for a token"
    ((state,),) = place.sql("select state from vestal.incident where id = %s", incident)
    assert state == "resolved"
    assert len(connection.events("incident.resolved")) == 1
    connection.renews()
    connection.whole(generation=3)


def test_an_access_token_alone(place):
    connection = place.own()
    grant = issued(connection)
    accepted(override(connection, access_token=grant["access_token"], expires_in=1800), generation=2, status="expiring")

    report, row = connection.health(), connection.row()
    assert connection.serves(grant["access_token"]) and 1700 < row["lives_s"] <= 1800, row
    assert report["nextRefreshAt"] is None and row["next_s"] is None, "nothing can renew it"
    assert (report["action"], report["owner"], report["refreshExpiresAt"]) == ("reauthorize", "administrator", report["expiresAt"])
    place.refresh(*connection.only, mode="--all")
    assert connection.row()["generation"] == 2 and connection.books().asked == [], "the old refresh token was kept"
    place.pass_time(1801, connection)
    assert connection.verdict() == ("expired", "none", "reauthorize", "administrator")


def test_without_expires_in_the_definition_counts(place):
    connection = place.own()
    accepted(override(connection, access_token=issued(connection)["access_token"]), generation=2, status="expiring")
    assert 3500 < connection.row()["lives_s"] <= 3600


def test_both_the_refresh_token_proves(place):
    connection = place.own()
    grant = issued(connection)
    made_up = f"1000.{MARKER}"
    accepted(override(connection, refresh_token=grant["refresh_token"], access_token=made_up, expires_in=60), generation=2)
    served = connection.serves()
    assert served not in (made_up, grant["access_token"]) and connection.row()["lives_s"] > 3000


def test_another_data_centre(place):
    connection = place.own()
    grant = issued(connection, "eu")
    accepted(override_there(connection, refresh_token=grant["refresh_token"], datacenter="eu"), generation=2)
    assert connection.health()["datacenter"] == "eu"
    assert connection.token().json["api_domain"] == grant["api_domain"]
    connection.renews()
    grant = issued(connection, "eu")
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=4)  # where it lives now
    assert connection.health()["datacenter"] == "eu"


def test_a_connection_that_never_was(place):
    connection = place.own()
    other = Tenant(place.stack, place.sim)
    answer = override(other, refresh_token=issued(other)["refresh_token"])
    accepted(answer, generation=1)
    assert place.stack.report(other.id)["status"] == "healthy"
    assert len(place.stack.audit(client_id=other.id, action="connection.added")) == 1
    assert connection.row()["generation"] == 1


def test_defaults(lone_stack, sim):
    tenant = Tenant(lone_stack, sim, id=DEFAULT_CLIENT)
    body = {"access_token": issued(tenant)["access_token"], "dryRun": True}  # others count its generations
    answer = override(tenant, clientId=None, provider=None, **body)
    assert answer.status == 200 and (answer.json["clientId"], answer.json["provider"]) == (DEFAULT_CLIENT, "zoho_crm"), answer


def test_a_scope_that_is_missing_still_lives(place):
    connection = place.own()
    grant = issued(connection, scope="ZohoCRM.modules.ALL,AaaServer.profile.READ")
    answer = override(connection, access_token=grant["access_token"])
    assert answer.status == 200 and connection.health()["cause"] == "scope_missing", answer


# --- input

BAD = {
    "neither": ({}, ["refresh_token"]),
    "no reason": ({"refresh_token": "1000.a", "reason": None}, ["reason"]),
    "an empty reason": ({"refresh_token": "1000.a", "reason": ""}, ["reason"]),
    "a reason of spaces": ({"refresh_token": "1000.a", "reason": "   "}, ["reason"]),
    "an empty token": ({"refresh_token": ""}, ["refresh_token"]),
    "a line break": ({"refresh_token": "1000.a\n"}, ["refresh_token"]),
    "a space behind it": ({"access_token": "1000.a "}, ["access_token"]),
    "not ASCII": ({"refresh_token": "1000.ä"}, ["refresh_token"]),
    "a number": ({"refresh_token": 1000}, ["refresh_token"]),
    "an unknown data centre": ({"refresh_token": "1000.a", "datacenter": "mars"}, ["datacenter"]),
    "another provider's": ({"refresh_token": "1000.a", "provider": "nobody"}, ["provider"]),
    "no lifetime": ({"access_token": "1000.a", "expires_in": 0}, ["expires_in"]),
    "a word for a lifetime": ({"access_token": "1000.a", "expires_in": "60"}, ["expires_in"]),
    "a word for true": ({"refresh_token": "1000.a", "dryRun": "true"}, ["dryRun"]),
    "no fingerprint": ({"refresh_token": "1000.a", "acceptAccount": "x" * 40}, ["acceptAccount"]),
    "an unknown field": ({"refresh_token": "1000.a", "refreshToken": "b"}, ["refreshToken"]),
    "no client": ({"refresh_token": "1000.a", "clientId": None}, ["clientId"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(place, quiet, name):
    body, fields = BAD[name]
    before, events = place.stack.tables(), len(declined(quiet))
    assert override(quiet, **body).problem(400, "invalid_input") == fields
    assert place.stack.tables() == before and len(declined(quiet)) == events


@pytest.fixture(scope="module")
def quiet(place):
    """Connected, for tests that change nothing."""
    return place.own()


def test_who_may(place, quiet):
    body = {"refresh_token": "1000.a"}
    for role in ("operator", "auditor"):
        override(quiet, key=place.stack.new_key(role), **body).problem(403, "forbidden")
    elsewhere = place.stack.new_key("admin", "--client", quiet.id, "--provider", "zoho_calendar")
    assert override(quiet, key=elsewhere, **body).status == 404
    assert override(quiet, clientId="nobody-at-all", **body).problem(404, "client_unknown") == []


def test_without_an_app(place):
    id = f"no-app-{secrets.token_hex(4)}"
    place.stack.ctl("client", "add", id)
    answer = place.stack.api("POST", URL, {"clientId": id, "refresh_token": "1000.a", "reason": "x", "provider": "xero"})
    answer.problem(409, "app_missing")


# --- what a person may have got wrong


def code_of(connection):
    """An authorization code that nobody has exchanged."""
    target = connection.consent(connection.begin())
    return dict(pair.split("=", 1) for pair in target.partition("?")[2].split("&") if pair)["code"]


def test_a_grant_code(place):
    connection = place.own()
    code = code_of(connection)
    grants = len(connection.issued("refresh"))
    refused(connection, 422, "token_refused", "grant_code_given", "authorization code", refresh_token=code)
    assert len(connection.issued("refresh")) == grants, "finding out made a grant"
    connection.whole(generation=1)


def test_a_grant_code_as_access_token(place):
    connection = place.own()
    refused(connection, 422, "token_refused", "grant_code_given", "authorization code", access_token=code_of(connection))


def test_an_access_token_as_refresh_token(place):
    connection = place.own()
    grant = issued(connection)
    words = "is an access token"
    refused(connection, 422, "token_refused", "access_token_given", words, refresh_token=grant["access_token"])
    connection.whole(generation=1)


def test_a_refresh_token_as_access_token(place):
    connection = place.own()
    grant = issued(connection)
    refused(connection, 422, "token_refused", "unknown_access_token", "belongs into refresh_token", access_token=grant["refresh_token"])
    assert connection.books().asked == [], "no token was asked for"


def test_the_wrong_data_centre_is_offered_where_asking_is_free(place):
    connection = place.own()
    grant = issued(connection, "in")
    answer = refused(connection, 422, "token_refused", "wrong_datacenter", '"in"', access_token=grant["access_token"])
    assert answer.problem(422, "token_refused") == ["datacenter"]
    both = {"refresh_token": grant["refresh_token"], "access_token": grant["access_token"]}
    refused(connection, 422, "token_refused", "wrong_datacenter", '"in"', **both)
    accepted(override_there(connection, datacenter="in", **both), generation=2)


def test_the_wrong_data_centre_is_asked_for_where_it_is_not(place):
    connection = place.own()
    grant = issued(connection, "in")
    answer = refused(connection, 422, "token_refused", "unknown_refresh_token", "datacenter", refresh_token=grant["refresh_token"])
    assert answer.problem(422, "token_refused") == ["datacenter"]
    asked = [row for row in connection.sim.ledger()["requests"] if row["grant"] == "refresh" and row["client_id"] == connection.app_id]
    assert [row["datacenter"] for row in asked] == ["us"], "other data centres were tried"


def test_a_data_centre_where_the_app_is_unknown(place):
    connection = place.own()
    redirect = f"{place.stack.env['VESTAL_URL']}/api/oauth/callback/zoho_crm"
    place.sim.client(connection.app_id, client_secret=connection.app_secret, redirect_uris=[redirect], multi_dc=False)
    body = {"refresh_token": issued(connection)["refresh_token"], "datacenter": "eu"}
    refused(connection, 422, "token_refused", "app_credentials", "in data centre eu", **body)


def test_the_token_of_another_app(place):
    connection, other = place.own(), place.own()
    grant = issued(other)
    refused(connection, 422, "token_refused", "unknown_refresh_token", connection.app_id, refresh_token=grant["refresh_token"])
    other.renews()


def test_a_token_that_was_revoked(place):
    connection = place.own()
    grant = issued(connection)
    place.sim.control("revoke", {"refresh_token": grant["refresh_token"]})
    refused(connection, 422, "token_refused", "unknown_refresh_token", "revoked", refresh_token=grant["refresh_token"])
    refused(connection, 422, "token_refused", "unknown_access_token", "revoked", access_token=grant["access_token"])
    connection.whole(generation=1)


def test_throttled_is_never_dead(place):
    connection = place.own()
    grant = issued(connection)
    connection.fault(mode="zoho_error", error="Access Denied", status=400, times=1)
    answer = refused(connection, 422, "token_refused", "throttled", "says nothing of the token", refresh_token=grant["refresh_token"])
    assert int(answer.headers["Retry-After"]) > 0 and "revoked" not in answer.json["detail"]
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)


@pytest.mark.parametrize("mode", [{"mode": "status", "status": 503}, {"mode": "drop_before"}, {"mode": "broken_json"}])
def test_a_provider_that_is_away(place, mode):
    connection = place.own()
    grant = issued(connection)
    connection.fault(**mode)
    refused(connection, 502, "provider_unavailable", "provider_unavailable", refresh_token=grant["refresh_token"])
    connection.whole(generation=1)
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)


def test_wrong_credentials_of_the_app(place):
    connection = place.own()
    redirect = f"{place.stack.env['VESTAL_URL']}/api/oauth/callback/zoho_crm"
    place.sim.client(connection.app_id, client_secret="another", redirect_uris=[redirect])
    refused(connection, 422, "token_refused", "app_credentials", "does not accept the app", refresh_token=issued(connection)["refresh_token"])


def test_the_quota(place):
    connection = place.own()
    grant = issued(connection)
    place.sql("update vestal.connection set mints = array_fill(now() - interval '100 seconds', array[5]) where client_id = %s", connection.id)
    answer = refused(connection, 503, "renewal_deferred", "quota", "quota", refresh_token=grant["refresh_token"])
    assert 490 <= int(answer.headers["Retry-After"]) <= 501, answer.headers["Retry-After"]
    assert connection.books().asked == [], "the provider was asked"
    accepted(override(connection, access_token=grant["access_token"]), generation=2, status="expiring")


@pytest.mark.parametrize(("cause", "app"), [("provider_outage", False), ("app_credentials", True)])
def test_a_gate_that_is_shut(place, cause, app):
    connection = place.own()
    grant = issued(connection)
    place.sql("""insert into vestal.provider_state (provider, datacenter, app_id, state, cause, retry_at)
        select provider, datacenter, case when %s then app_id end, 'open', %s, now() + interval '100 seconds'
        from vestal.connection where client_id = %s
        on conflict (provider, datacenter, app_id) do update set state = 'open', cause = excluded.cause,
        retry_at = excluded.retry_at""", app, cause, connection.id)
    answer = refused(connection, 503, "renewal_deferred", "gate", refresh_token=grant["refresh_token"])
    assert 90 <= int(answer.headers["Retry-After"]) <= 100 and connection.books().asked == []
    place.ripen_gates("zoho_crm")
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)


# --- whose account it is


def pinned(connection):
    return connection.stack.sql("select account_fingerprint from vestal.connection where client_id = %s", connection.id)[0][0]


def test_the_account_of_another(place):
    connection = place.own()
    first, grant = pinned(connection), issued(connection, user="somebody@else.example")
    body = {"refresh_token": grant["refresh_token"]}
    answer = refused(connection, 409, "account_changed", "account_changed", **body)
    assert answer.json["pinned"] == first != answer.json["found"]
    refused(connection, 409, "account_changed", "account_changed", acceptAccount="0" * 40, **body)
    refused(connection, 409, "account_changed", "account_changed", dryRun=True, **body)
    accepted(override(connection, acceptAccount=answer.json["found"], **body), generation=2)
    assert pinned(connection) == answer.json["found"]
    (event,) = connection.events("connection.account_changed")
    assert (event["detail"]["pinned"], event["detail"]["found"]) == (first, answer.json["found"]), event


def test_the_account_of_another_where_refresh_tokens_are_replaced(place):
    """The one that was given is spent: what came of it waits for an administrator's word."""
    connection = place.connect("sim_strict")
    grant = issued(connection, user="somebody@else.example")
    answer = override(connection, refresh_token=grant["refresh_token"])
    answer.problem(409, "account_changed")
    assert "kept for 10 minutes" in answer.json["detail"] and place.answers_spooled() == 0
    connection.whole(generation=1)
    body = {"provider": connection.provider, "acceptAccount": answer.json["found"], "reason": "it moved"}
    taken = connection.stack.api("POST", f"/api/oauth/accept-account/{connection.id}", body)
    assert taken.status == 200 and taken.json["generation"] == 2, taken
    assert [(e["generation"], e["reason"]) for e in connection.events("token.override")] == [(2, "it moved")]
    place.make_due(connection)
    place.refresh(*connection.only)
    connection.whole(generation=3)


def vouch(connection, account):
    body = {"provider": connection.provider, "acceptAccount": account, "reason": "it is ours"}
    return connection.stack.api("POST", f"/api/oauth/accept-account/{connection.id}", body)


def nobody_says_whose_it_is(connection):
    connection.sim.control("faults", {"at": "identity", "mode": "html", "times": 0})


def test_what_cost_a_token_is_kept_when_nobody_says_whose_it_is(place):
    connection = place.connect("sim_strict")
    grant, first = issued(connection), pinned(connection)
    nobody_says_whose_it_is(connection)
    answer = override(connection, refresh_token=grant["refresh_token"])
    assert answer.problem(502, "provider_unavailable") == [] and answer.json["pinned"] == first
    assert "is spent" in answer.json["detail"] and "kept for 10 minutes" in answer.json["detail"]
    assert connection.books().state(grant["refresh_token"]) == "rotated" and place.spooled() == []
    connection.whole(generation=1)

    before = connection.stack.tables()
    answer = vouch(connection, "0" * 40)
    assert answer.problem(409, "account_changed") == [] and answer.json["pinned"] == first
    assert connection.stack.tables() == before
    taken = vouch(connection, first)
    assert taken.status == 200 and taken.json["generation"] == 2, taken
    (event,) = connection.events("connection.account_unknown")
    assert event["detail"] == {"pinned": first, "found": None} and pinned(connection) == first
    place.sim.control("faults", method="DELETE")
    connection.renews()
    connection.whole(generation=3)
    assert connection.books().reuses() == []


def test_what_cannot_be_kept_aside_stays_in_the_spool(place):
    connection = place.connect("sim_strict")
    grant = issued(connection, user="somebody@else.example")
    with place.worker(cut="attempt_begin") as (process, path):
        assert b"Status: 409" in ask_worker(path, connection, refresh_token=grant["refresh_token"])
        process.kill()
        process.wait(10)
    assert place.answers_spooled() == 1
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})
    assert place.spooled() == []
    found = override(connection, access_token=issued(connection, user="somebody@else.example")["access_token"]).json["found"]
    taken = vouch(connection, found)
    assert taken.status == 200, taken
    assert connection.books().reuses() == []


def test_a_worker_killed_before_it_kept_a_token_aside(place):
    connection = place.connect("sim_strict")
    grant = issued(connection)
    nobody_says_whose_it_is(connection)
    with place.worker(kill="attempt_begin") as (process, path):
        assert ask_worker(path, connection, refresh_token=grant["refresh_token"]) is None
        assert process.wait(10) == -signal.SIGKILL
    place.sim.control("faults", method="DELETE")
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})
    assert place.spooled() == []
    taken = vouch(connection, pinned(connection))
    assert taken.status == 200 and connection.books().reuses() == [], taken


def test_the_first_account_is_pinned(place):
    other = Tenant(place.stack, place.sim)
    accepted(override(other, refresh_token=issued(other)["refresh_token"]), generation=1)
    assert pinned(other)


# --- dry runs


def test_dry_run(place):
    connection = place.own()
    grant = issued(connection)
    before = connection.stack.tables()
    accepted(override(connection, refresh_token=grant["refresh_token"], dryRun=True), generation=1, dry=True)
    assert len(connection.books().mints) == 1, "it was not tried"
    changed = {name for name, rows in connection.stack.tables().items() if rows != before[name]}
    assert changed == {"connection"} and connection.row()["mints"] == 1, "a request for a token counts, and nothing else"
    accepted(override(connection, access_token=grant["access_token"], dryRun=True), generation=1, dry=True)
    connection.whole(generation=1)
    assert [event["detail"] for event in connection.events("token.override")] == [{"dryRun": True}] * 2
    seen = place.sql("select dry_run from vestal.v_override where client_id = %s", connection.id)
    assert seen == [(True,), (True,)]


def test_dry_run_refused(place):
    connection = place.own()
    refused(connection, 422, "token_refused", "unknown_refresh_token", refresh_token=f"1000.{MARKER}", dryRun=True)


def test_dry_run_of_a_token_that_would_be_replaced(place):
    connection = place.connect("sim_strict")
    grant = issued(connection)
    refused(connection, 422, "cannot_try", "cannot_try", "replaces a refresh token", refresh_token=grant["refresh_token"], dryRun=True)
    assert connection.books().asked == [], "the provider was asked"
    accepted(override(connection, access_token=grant["access_token"], dryRun=True), generation=1, dry=True)


# --- a provider that replaces refresh tokens


@pytest.mark.parametrize("provider", ["sim_strict", "sim_grace"])
def test_what_a_rotating_provider_hands_back_is_kept(place, provider):
    connection = place.connect(provider)
    grant = issued(connection)
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)
    assert connection.books().state(grant["refresh_token"]) == "rotated"
    connection.renews()
    connection.whole(generation=3)
    assert connection.books().reuses() == []


def ask_worker(path, connection, **body):
    """An override handed to that worker, as nginx would; None when it hung up instead of answering."""
    body = {"clientId": connection.id, "provider": connection.provider, "reason": "the old one leaked"} | body
    sent = json.dumps(body).encode()
    more = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent))}
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(path))
        caller.sendall(request(params_of(connection.stack, URL, "POST", **more), sent))
        records = list(frames.receive(caller))
    return b"".join(content for kind, content in records if kind == frames.STDOUT) or None


# Before the commit, within it, and behind it: the spool has the answer, and nobody else.
@pytest.mark.parametrize("point", ["connection_lock", "token_put", "connection_granted", "gate_note"])
def test_a_worker_killed_between_answer_and_commit(place, point):
    connection = place.connect("sim_strict")
    grant = issued(connection)
    with place.worker(kill=point) as (process, path):
        assert ask_worker(path, connection, refresh_token=grant["refresh_token"]) is None
        assert process.wait(10) == -signal.SIGKILL
    assert connection.books().state(grant["refresh_token"]) == "rotated", "not killed behind the answer"
    committed = point == "gate_note"
    assert connection.row()["generation"] == 1 + committed and len(place.spooled()) > 0

    place.refresh(*connection.only, expect=None)  # a refresher brings no token: it leaves it where it is
    assert connection.row()["generation"] == 1 + committed and len(place.spooled()) > 0
    body = {"provider": connection.provider}
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", body)  # any worker that renews settles it first
    assert place.spooled() == []
    place.refresh(*connection.only)
    (event,) = connection.events("token.override")
    assert (event["generation"], event["reason"], event["actor_auth"]) == (2, "the old one leaked", "spool" if not committed else "api_key")
    assert event["actor"].startswith("key:")
    assert [row[1] for row in history(connection)] == ["token.override"]
    connection.renews()
    assert connection.books().reuses() == []


def test_a_crash_before_the_answer_leaves_nothing(place):
    connection = place.connect("sim_strict")
    before = connection.stack.tables()
    with place.worker(kill="gate_meter") as (process, path):
        assert ask_worker(path, connection, refresh_token=issued(connection)["refresh_token"]) is None
        assert process.wait(10) == -signal.SIGKILL
    assert connection.stack.tables() == before
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})
    assert place.spooled() == [] and connection.events("token.override") == []


def test_what_came_in_between_stays(place):
    """The answer of a crash replaces nothing that is newer."""
    connection = place.connect("sim_strict")
    with place.worker(kill="token_put") as (process, path):
        assert ask_worker(path, connection, refresh_token=issued(connection)["refresh_token"]) is None
        process.wait(10)
    connection.connect()
    served = connection.serves()
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})
    assert place.spooled() == [] and connection.events("token.override") == []
    assert connection.books().state(served) == "live"
    connection.renews()


def test_a_renewal_in_between_supersedes_nothing(place):
    """It went on with the old grant; what an administrator brought is stored all the same."""
    connection = place.connect("sim_strict")
    with place.worker(kill="token_put") as (process, path):
        assert ask_worker(path, connection, refresh_token=issued(connection)["refresh_token"]) is None
        process.wait(10)
    place.make_due(connection)
    place.refresh(*connection.only, expect=None)
    assert connection.row()["generation"] == 2 and place.answers_spooled() == 1
    place.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})
    assert place.spooled() == []
    assert [event["generation"] for event in connection.events("token.override")] == [3]
    assert [row[:2] for row in history(connection)] == [(2, "token.override")]
    place.refresh(*connection.only)
    connection.renews()
    assert connection.books().reuses() == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_grant_where_there_was_none_stays(place, is_there):
    connection = place.connect("sim_strict")
    body = {"provider": connection.provider}
    assert connection.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", body).status == 200
    with place.worker(kill="token_put") as (process, path):
        assert ask_worker(path, connection, refresh_token=issued(connection)["refresh_token"]) is None
        process.wait(10)
    if is_there:
        connection.connect()
    place.stack.api("POST", f"/api/oauth/refresh/{place.connect('sim_strict').id}", body)
    assert place.spooled() == []
    assert [event["generation"] for event in connection.events("token.override")] == ([] if is_there else [2])


@pytest.mark.parametrize("point", ["token_put", "commit"])
def test_a_database_that_hangs_up(place, point):
    """Before the commit it is made again; behind it, it is found to have been one."""
    connection = place.connect("sim_strict")
    grant = issued(connection)
    with place.worker(cut=point) as (process, path):
        answer = ask_worker(path, connection, refresh_token=grant["refresh_token"])
        assert b"Status: 200" in answer and b'"generation":2' in answer, answer
        assert place.answers_spooled() == 0
    connection.whole(generation=2)
    assert len(connection.events("token.override")) == 1
    connection.renews()


def test_an_answer_that_is_lost_is_said(place):
    connection = place.connect("sim_strict")
    grant = issued(connection)
    connection.fault(mode="drop_after")
    words = "may have replaced the refresh token"
    refused(connection, 502, "provider_unavailable", "provider_unavailable", words, refresh_token=grant["refresh_token"])
    connection.whole(generation=1)


# --- others at the same time


def test_a_renewal_under_way_is_superseded(place):
    """Its lease keeps nobody from an override, and what it brings replaces nothing."""
    connection = place.own()
    grant = issued(connection)
    connection.fault(mode="hang", act=True)
    place.make_due(connection)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    assert connection.row()["lease_owner"]
    accepted(override(connection, refresh_token=grant["refresh_token"]), generation=2)
    served = connection.serves()
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    connection.whole(generation=2)
    assert connection.serves(served)
    assert len(connection.events("token.superseded")) == 1 and connection.events("token.renewed") == []
    connection.renews()


def test_many_at_once(place):
    """Each of them is a generation of its own, in the order in which history has them."""
    connection = place.own(mint_limit=0)
    grants = [issued(connection) for _ in range(4)]
    place.sql("update vestal.connection set mints = '{}' where client_id = %s", connection.id)
    calls = [lambda grant=grant: override(connection, refresh_token=grant["refresh_token"]) for grant in grants]
    body = {"provider": connection.provider, "reason": "out"}
    calls.append(lambda: connection.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", body))
    answers = at_once(calls)
    assert [answer.status for answer in answers] == [200] * 5, answers
    generations = sorted(answer.json["generation"] for answer in answers[:4])
    assert generations == [2, 3, 4, 5]
    events = [e["generation"] for e in connection.events("token.override")]
    assert sorted(events) == generations
    rows = history(connection)
    removed = [row[0] for row in rows if row[1] == "reauthorize.requested"]
    assert len(removed) == 1
    now = connection.row()
    alive = [now["generation"]] if now["generation"] else []
    assert [row[0] for row in rows] + alive == [1, 2, 3, 4, 5], (rows, now)
    if alive:
        connection.whole(generation=5)


def test_a_refusal_is_quick_to_come(place):
    """Looking in ten data centres that hang does not keep an administrator waiting for ever."""
    connection = place.own()
    began = time.monotonic()
    place.sim.control("faults", {"at": "probe", "mode": "hang", "times": 0})
    try:
        answer = override(connection, access_token=issued(connection, "in")["access_token"])
    finally:
        place.sim.control("faults", method="DELETE")
    assert answer.status == 502 and time.monotonic() - began < 20, answer


def test_no_token_is_left_anywhere(place):
    """In no log; test_zz_secrets.py looks for what carries the marker."""
    connection = place.own()
    secret = f"1000.{MARKER}{secrets.token_hex(8)}"
    override(connection, refresh_token=secret, access_token=secret)
    eventually(lambda: any(b"token_refused" in path.read_bytes() for path in connection.stack.log_files()))
    assert not any(secret.encode() in path.read_bytes() for path in connection.stack.log_files())
    assert secret not in json.dumps(connection.events("token.override_refused"))
