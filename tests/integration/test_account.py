"""Whose account a connection is bound to: pinned once, kept against everybody, changed by an administrator's word alone."""

import base64
import json
import os
import re
import signal
import subprocess
import threading

import pytest
from harness import Tenant, eventually
from probes import zuid
from rows import laid_out

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FINGERPRINT = re.compile("[0-9a-f]{40}")
SCOPE = "%2CAaaServer.profile.READ"


def one(tenant, columns):
    query = f"select {columns} from vestal.connection where client_id = %s and provider = %s"
    return tenant.stack.sql(query, tenant.id, tenant.provider)[0]


def pinned(tenant):
    return one(tenant, "account_fingerprint")[0]


def held(tenant):
    """Of every attempt that kept a token, in order: whether it still does, and its outcome."""
    query = (
        "select held_sealed is not null, outcome from vestal.authorization_attempt"
        " where connection_id = %s and held_until is not null order by id"
    )
    return tenant.stack.sql(query, one(tenant, "id")[0])


def other(tenant):
    """Somebody else's account, which one can tell was let in for this client."""
    return f"{tenant.id}.other@example.com"


def flow(tenant, user=None, accept="application/json", **more):
    return tenant.callback(tenant.consent(tenant.begin(), user=user or other(tenant), **more), accept=accept)


def accept(tenant, found, key="", **more):
    body = {"provider": tenant.provider, "acceptAccount": found} | more
    return tenant.stack.api("POST", f"/api/oauth/accept-account/{tenant.id}", body, key=key)


def refused(tenant, answer):
    """A 409 that names both; what was found."""
    assert answer.problem(409, "account_changed") == []
    assert answer.json["pinned"] == pinned(tenant) and FINGERPRINT.fullmatch(answer.json["found"])
    assert answer.json["found"] != answer.json["pinned"]
    assert answer.json["found"] in answer.json["detail"] and answer.json["pinned"] in answer.json["detail"]
    return answer.json["found"]


def events(tenant, *actions):
    return [event for event in tenant.stack.audit(client_id=tenant.id) if event["action"] in actions]


class Still:
    """Everything as it was, but the attempts and the trail; and the old token serves."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.before = self.look()

    def look(self):
        tenant = self.tenant
        tables = {name: rows for name, rows in tenant.stack.tables().items() if name != "authorization_attempt"}
        return tables, tenant.token().json.get("access_token"), tenant.stack.report(tenant.id)["stores"]

    def check(self):
        now = self.look()
        assert now[1:] == self.before[1:]
        assert {name: rows for name, rows in now[0].items() if rows != self.before[0][name]} == {}


# --- pinning


def test_the_first_authorization_pins(tenant):
    tenant.connect()
    assert FINGERPRINT.fullmatch(pinned(tenant))
    (event,) = events(tenant, "connection.account_pinned")
    assert event["detail"] == {"pinned": None, "found": pinned(tenant)} and event["generation"] == 1
    assert tenant.connect()["generation"] == 2, "the same account again"
    assert len(events(tenant, "connection.account_pinned")) == 1
    shown = json.loads(tenant.stack.ctl("token", "show", tenant.id, "zoho_crm", "--json").stdout)
    assert shown["accountFingerprint"] == pinned(tenant)


def test_the_account_is_nowhere_in_clear(tenant):
    number = str(zuid(tenant.user, "us"))
    tenant.connect()
    flow(tenant)
    assert tenant.sim.probe(tenant.issued()[-1], "/oauth/user/info").json["ZUID"] == int(number)
    seen = [str(tenant.stack.tables()), str(tenant.stack.audit())] + [path.read_text(errors="replace") for path in tenant.stack.log_files()]
    for word in (number, str(zuid(other(tenant), "us"))):
        assert not any(word in text for text in seen)


def test_one_account_has_one_fingerprint(connected):
    """Whoever is connected with it: an auditor sees where an account is used, and not which it is."""
    again = Tenant(connected.stack, connected.sim, id=connected.id[:-1])  # what the account's name begins with
    again.connect(user=connected.user)
    assert pinned(again) == pinned(connected)


def test_the_same_number_in_another_data_centre_is_another_account(connected):
    connected.sim.control("faults", {"at": "identity", "mode": "override", "fields": {"ZUID": zuid(connected.user, "us")}})
    refused(connected, flow(connected, user=connected.user, datacenter="eu"))


def test_a_grant_whose_account_nobody_asks_leaves_the_pin(stack):
    """As where the definition names no call any more: should it name one again, the pin still stands."""
    with laid_out(stack) as rows:
        (id,), worker = rows.add(), rows.session("worker")
        with worker.transaction():
            worker.override(id, account="f" * 40)
        with worker.transaction():
            worker.override(id)
        assert rows.connection(id).account_fingerprint == "f" * 40


def test_each_provider_has_its_own(stack, sim):
    calendar = Tenant(stack, sim, "zoho_calendar")
    crm = Tenant(stack, sim, id=f"{calendar.id}-crm")
    crm.connect()
    calendar.connect(user=crm.user)
    assert pinned(calendar) and pinned(calendar) != pinned(crm)


# --- another account


@pytest.mark.parametrize("way", ["authorize", "emergency"])
def test_another_account_changes_nothing(connected, way):
    tenant, incident = connected, None
    url = tenant.begin()
    if way == "emergency":
        begun = tenant.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": tenant.id}).json
        url, incident = begun["auth_url"], begun["incidentId"]
    target, still = tenant.consent(url, user=other(tenant)), Still(tenant)
    found = refused(tenant, tenant.callback(target))
    still.check()
    assert held(tenant) == [(True, "account_changed")]
    (event,) = events(tenant, "authorize.failed")
    assert (event["reason"], event["outcome"], event["incident_id"]) == ("account_changed", "denied", incident)
    assert event["detail"] == {"pinned": pinned(tenant), "found": found}
    assert tenant.callback(target).problem(400, "state_unknown") == []
    assert flow(tenant, user=tenant.user).json["generation"] == 2, "the right one goes on, and no generation was spent"
    if incident:
        state = "select state from vestal.incident where id = %s"
        assert tenant.stack.sql(state, incident) == [("resolved",)]


def test_removing_the_token_keeps_the_pin(connected):
    connected.stack.api("POST", f"/api/oauth/reauthorize/{connected.id}", {"provider": "zoho_crm"})
    found = refused(connected, flow(connected))
    report = connected.stack.report(connected.id)
    assert (report["status"], report["generation"]) == ("missing", None)
    assert accept(connected, found).json["generation"] == 2
    assert connected.stack.report(connected.id)["status"] == "healthy"


def test_a_removed_client_comes_back_unbound(connected):
    connected.stack.api("POST", f"/api/oauth/reauthorize/{connected.id}", {"provider": "zoho_crm"})
    connected.stack.ctl("client", "remove", connected.id)
    connected.stack.ctl("client", "add", connected.id)
    assert flow(connected).json["generation"] == 2


def test_a_page_says_what_to_do(connected):
    answer = flow(connected, accept=BROWSER)
    page = answer.body.decode()
    assert answer.status == 409 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>The token belongs to another account</h1>" in page and "start the authorization again" in page
    assert f"/api/oauth/accept-account/{connected.id}" in page and "10 minutes" in page and "<script" not in page


def test_what_is_kept_is_sealed_and_served_to_nobody(connected):
    before = connected.token().json["access_token"]
    flow(connected)
    theirs = [row["value"] for row in connected.sim.ledger(connected.app_id)["tokens"] if row["user"] == other(connected)]
    assert len(theirs) == 2
    dump = str(connected.stack.tables())
    for value in theirs:
        for form in (value, value.encode().hex(), base64.b64encode(value.encode()).decode().rstrip("=")):
            assert form not in dump
    assert connected.token().json["access_token"] == before


# --- an administrator's word


def test_accepted(connected):
    tenant = connected
    begun = tenant.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": tenant.id}).json
    before = pinned(tenant)
    found = refused(tenant, tenant.callback(tenant.consent(begun["auth_url"], user=other(tenant))))
    calls = len(tenant.calls())
    answer = accept(tenant, found, reason="they moved")
    assert answer.status == 200 and answer.json == {
        "clientId": tenant.id, "provider": "zoho_crm", "status": "healthy", "generation": 2,
        "persisted": {"database": True, "file": True, "environment": True},
    }  # fmt: skip
    assert tenant.calls()[calls:] == [], "proved when it came"
    assert pinned(tenant) == found and held(tenant) == [(False, "account_changed")]
    token = tenant.token().json
    theirs = [row["value"] for row in tenant.sim.ledger(tenant.app_id)["tokens"] if row["user"] == other(tenant) and row["kind"] == "access"]
    assert token["access_token"] == theirs[-1] and token["generation"] == 2
    actor = "key:" + tenant.stack.key.split("_")[1]
    (event,) = events(tenant, "connection.account_changed")
    assert event["detail"] == {"pinned": before, "found": found} and event["reason"] == "they moved"
    assert (event["actor"], event["generation"], event["incident_id"]) == (actor, 2, begun["incidentId"])
    (_, done) = events(tenant, "authorize.completed")
    assert (done["generation"], done["reason"], done["incident_id"]) == (2, "they moved", begun["incidentId"])
    query = "select state, resolved_by from vestal.incident where id = %s"
    assert tenant.stack.sql(query, begun["incidentId"]) == [("resolved", actor)]
    assert flow(tenant).json["generation"] == 3, "bound to the new one"
    refused(tenant, flow(tenant, user=tenant.user))


def test_the_age_of_an_accepted_token_counts(connected):
    found = refused(connected, flow(connected))
    connected.stack.sql(
        "update vestal.authorization_attempt set held_asked_at = held_asked_at - interval '500 seconds'"
        " where held_sealed is not null and connection_id = %s", one(connected, "id")[0])  # fmt: skip
    accept(connected, found)
    assert 3600 - 520 < connected.token().json["expires_in"] <= 3600 - 500


def test_only_what_was_found_can_be_accepted(connected):
    found = refused(connected, flow(connected))
    still = Still(connected)
    answer = accept(connected, pinned(connected))
    assert answer.problem(409, "account_changed") == []
    assert (answer.json["pinned"], answer.json["found"]) == (pinned(connected), found)
    answer = accept(connected, found[:-1] + ("0" if found[-1] != "0" else "1"))
    assert answer.problem(409, "account_changed") == []
    still.check()
    assert accept(connected, found).status == 200


@pytest.mark.parametrize("word", ["", "x", "G" * 40, "A" * 40, "0" * 39, "0" * 41, 7, None])
def test_a_fingerprint_has_a_form(connected, word):
    before = connected.stack.tables()
    assert accept(connected, word).problem(400, "invalid_input") == ["acceptAccount"]
    assert connected.stack.tables() == before


def test_nothing_waits(connected):
    before = connected.stack.tables()
    assert accept(connected, "0" * 40).problem(404, "object_unknown") == []
    connected.provider = "zoho_calendar"
    assert accept(connected, "0" * 40).problem(404, "connection_unknown") == []
    connected.provider = "nope"
    assert accept(connected, "0" * 40).problem(400, "invalid_input") == ["provider"]
    connected.id = "nobody-at-all"
    connected.provider = "zoho_crm"
    assert accept(connected, "0" * 40).problem(404, "client_unknown") == []
    assert connected.stack.tables() == before


def test_who_may_accept(connected):
    found, stack = refused(connected, flow(connected)), connected.stack
    before = stack.tables()
    for role in ("operator", "auditor", "service"):
        key = stack.new_key(role, *(["--client", connected.id] if role == "service" else []))
        assert accept(connected, found, key=key).problem(403, "forbidden") == []
    key = stack.new_key("admin", "--client", "somebody-elses")
    assert accept(connected, found, key=key).status == 404
    assert accept(connected, found, key=None).problem(401, "unauthenticated") == []
    after = stack.tables()
    assert {name for name in after if after[name] != before[name]} <= {"api_key"}


def over(tenant):
    tenant.stack.sql(
        "update vestal.authorization_attempt set held_until = now() - interval '1 second' where held_sealed is not null"
        " and connection_id = %s", one(tenant, "id")[0])  # fmt: skip


def test_too_late(connected):
    found = refused(connected, flow(connected))
    life = connected.stack.sql(
        "select extract(epoch from held_until - now()) from vestal.authorization_attempt where held_sealed is not null"
        " and connection_id = %s", one(connected, "id")[0])[0][0]  # fmt: skip
    assert 580 < life <= 600
    over(connected)
    before = connected.stack.tables()
    answer = accept(connected, found)
    assert answer.problem(409, "conflict") == [] and "again" in answer.json["detail"]
    assert connected.stack.tables() == before


def test_the_sweep_wipes_what_is_over(connected, stack, sim):
    waits = Tenant(stack, sim)
    waits.connect()
    flow(waits)
    found = refused(connected, flow(connected))
    over(connected)
    subprocess.run(
        [f"{stack.env['VESTAL_BIN']}/vestal-refresh", "--due"], env={**os.environ, "VESTAL_CONF": stack.env["VESTAL_CONF"]},
        check=False, capture_output=True, timeout=60)  # fmt: skip
    assert held(connected) == [(False, "account_changed")] and held(waits) == [(True, "account_changed")]
    assert accept(connected, found).problem(409, "conflict") == []


def test_a_newer_one_takes_the_place(connected):
    first = refused(connected, flow(connected))
    second = refused(connected, flow(connected, user=f"{connected.id}.third@example.com"))
    assert held(connected) == [(False, "account_changed"), (True, "account_changed")] and first != second
    assert accept(connected, first).problem(409, "account_changed") == []
    assert accept(connected, second).json["generation"] == 2 and pinned(connected) == second
    assert accept(connected, second).problem(404, "object_unknown") == [], "once"


def test_another_token_ends_the_waiting(connected):
    found = refused(connected, flow(connected))
    connected.connect()
    assert held(connected) == [(False, "account_changed")]
    assert accept(connected, found).problem(404, "object_unknown") == []
    assert connected.token().json["generation"] == 2


def test_two_administrators(connected):
    """However it falls, one of them wins, once, and the other is told."""
    for user in 2 * (other(connected), connected.user):
        found, generation = refused(connected, flow(connected, user=user)), connected.token().json["generation"]
        answers = []
        callers = [threading.Thread(target=lambda: answers.append(accept(connected, found))) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert sorted(answer.status for answer in answers)[0] == 200
        assert {answer.status for answer in answers} <= {200, 404, 409} and [answer.status for answer in answers].count(200) == 1
        assert connected.token().json["generation"] == generation + 1


def test_a_crash_does_not_lose_what_is_kept(connected):
    """A provider that rotates has spent nothing else for it: it must survive all processes, and renew."""
    tenant = connected
    found = refused(tenant, flow(tenant))
    gone = tenant.stack.workers()
    for pid in gone:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not set(gone) & set(tenant.stack.workers()) and len(tenant.stack.workers()) >= len(gone), timeout_s=20)
    eventually(lambda: tenant.stack.request("GET", "/readyz").status == 200)
    assert accept(tenant, found).status == 200
    renewed = tenant.stack.api("POST", f"/api/oauth/refresh/{tenant.id}", {"provider": "zoho_crm"})
    assert renewed.json["generation"] == 3 and renewed.json["renewed"]
    assert tenant.sim.state(tenant.token().json["access_token"]) == "live"


def test_the_other_accounts_refresh_token_is_not_mixed_in(connected):
    """An answer without a refresh token keeps the old one, but never another account's."""
    connected.sim.control("faults", {"at": "token", "mode": "success_without", "fields": ["refresh_token"]})
    found = refused(connected, flow(connected))
    assert accept(connected, found).status == 200
    query = "select refresh_sealed is null from vestal.token where connection_id = %s"
    assert connected.stack.sql(query, one(connected, "id")[0]) == [(True,)]


def test_a_short_life_is_not_outlived(connected):
    """What cannot be renewed is kept as long as it lives."""
    fields = {"expires_in": 100, "refresh_token": None}
    connected.sim.control("faults", {"at": "token", "mode": "override", "fields": fields})
    refused(connected, flow(connected))
    query = "select extract(epoch from held_until - now()) from vestal.authorization_attempt where held_sealed is not null and connection_id = %s"
    assert 80 < connected.stack.sql(query, one(connected, "id")[0])[0][0] <= 100


# --- the account cannot be learned

FAULTS = {
    "500": {"mode": "status", "status": 500},
    "page": {"mode": "html"},
    "hangs": {"mode": "hang"},
    "scope": {"mode": "zoho_error", "error": "OAUTH_SCOPE_MISMATCH", "status": 401},
    "dead": {"mode": "zoho_error", "error": "INVALID_TOKEN", "status": 401},
    "no number": {"mode": "success_without", "fields": ["ZUID"]},
    "no text": {"mode": "override", "fields": {"ZUID": {"x": 1}}},
    "empty": {"mode": "override", "fields": {"ZUID": ""}},
}


@pytest.mark.parametrize("name", FAULTS)
def test_bound_and_not_told(connected, name):
    """No outage lets another account in; nor the own one."""
    for user in (other(connected), connected.user):
        target, still = connected.consent(connected.begin(), user=user), Still(connected)
        connected.sim.control("faults", {"at": "identity"} | FAULTS[name])
        answer = connected.callback(target)
        assert answer.problem(502, "provider_unavailable") == [] and int(answer.headers["Retry-After"]) > 0
        still.check()
        assert held(connected) == []
        connected.sim.control("faults", method="DELETE")
    assert [event["reason"] for event in events(connected, "authorize.failed")] == ["provider_unavailable"] * 2
    assert connected.connect()["generation"] == 2


@pytest.mark.parametrize("name", FAULTS)
def test_not_bound_yet_and_not_told(tenant, name):
    tenant.sim.control("faults", {"at": "identity"} | FAULTS[name])
    assert tenant.connect()["generation"] == 1
    assert pinned(tenant) is None
    (event,) = events(tenant, "connection.account_unknown")
    assert event["detail"] == {"pinned": None, "found": None} and event["generation"] == 1
    log = "".join(path.read_text(errors="replace") for path in tenant.stack.log_files())
    assert '"account.unknown"' in log
    tenant.sim.control("faults", method="DELETE")
    assert tenant.connect()["generation"] == 2
    assert FINGERPRINT.fullmatch(pinned(tenant)) and len(events(tenant, "connection.account_pinned")) == 1


def test_a_scope_that_was_not_asked_for_is_not_demanded(tenant):
    """The call is refused for want of its scope: connected all the same, and bound when it can be."""
    url = tenant.begin()
    assert SCOPE in url
    assert tenant.callback(tenant.consent(url.replace(SCOPE, ""))).json["status"] == "healthy"
    assert pinned(tenant) is None
    tenant.connect()
    assert pinned(tenant)


def test_a_kept_refresh_token_of_nobody_knows_whom_binds_nobody(tenant):
    """The new access token's account says nothing of a grant that was never asked."""
    tenant.sim.control("faults", {"at": "identity", "mode": "html"})
    tenant.connect()
    tenant.sim.control("faults", {"at": "token", "mode": "success_without", "fields": ["refresh_token"]})
    assert flow(tenant).json["generation"] == 2
    assert pinned(tenant) is None and len(events(tenant, "connection.account_unknown")) == 2


# --- renewals


def test_a_renewal_asks_nothing_and_leaves_the_pin(connected):
    """It goes on with a grant that was compared. An answer that brings somebody else's access token is not found out
    then; but the connection stays bound, so that the next authorization is compared with the account it began with."""
    tenant, before = connected, pinned(connected)
    tenant.sim.client("1000.STRANGER")
    [stranger] = tenant.sim.issue(client_id="1000.STRANGER", user=other(tenant))
    tenant.sim.control("faults", {"at": "token", "mode": "override", "fields": {"access_token": stranger["access_token"]}})
    calls = len(tenant.calls())
    renewed = tenant.stack.api("POST", f"/api/oauth/refresh/{tenant.id}", {"provider": "zoho_crm"})
    assert renewed.json["generation"] == 2
    assert ("identity", "us") not in tenant.calls()[calls:] and pinned(tenant) == before
    refused(tenant, flow(tenant))
    assert tenant.connect()["generation"] == 3
