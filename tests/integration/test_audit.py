"""Every action leaves its event, in the transaction of its effect: who, from where, what, on whose behalf, how it ended."""

import base64
import json
import os
import pwd
import re
import secrets
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from harness import Tenant, query_of

ADDRESS = "127.9.9.9"
REQUEST_ID = re.compile(r"[0-9a-f]{32}")
FINGERPRINT = re.compile(r"[0-9a-f]{40}")


class Watch:
    """The events from a moment on."""

    def __init__(self, stack):
        self.stack = stack
        self.since = stack.sql("select coalesce(max(id), 0) from vestal.audit_event")[0][0]

    def events(self):
        rows = self.stack.sql(
            "select row_to_json(e)::text from (select *, xid::text as transaction from vestal.audit_event) e where id > %s order by id", self.since
        )
        return [json.loads(row) for (row,) in rows]

    def actions(self):
        return [event["action"] for event in self.events()]

    def one(self, action):
        found = [event for event in self.events() if event["action"] == action]
        assert len(found) == 1, self.actions()
        return found[0]


def key_id(key):
    return key.split("_")[1]


def by_key(stack, answer, address=ADDRESS):
    """What every event of a request with the administrator's key says of its origin."""
    return {
        "actor": f"key:{key_id(stack.key)}", "actor_auth": "api_key", "address": address,
        "request_id": answer.headers["X-Request-Id"], "user_agent": None,
    }  # fmt: skip


def by_operator():
    name = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    return {"actor": f"operator:{name or pwd.getpwuid(os.getuid()).pw_name}", "actor_auth": "peer", "address": None}


def says(event, **wanted):
    assert {name: event[name] for name in wanted} == wanted, event


def whole(stack, event):
    """What no event lacks, whoever wrote it."""
    assert event["host"] and event["program"].startswith(("vestal-fcgi ", "vestalctl ")) and event["schema_version"] == 1
    assert event["db_user"] == {"vestal-fcgi": "vestal_worker", "vestalctl": "vestal_operator"}[event["program"].split()[0]]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(event["at"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert event["severity"] == "info" and json.loads(event["detail_text"]) == event["detail"]


def connection_of(tenant):
    query = "select id from vestal.connection where client_id = %s and provider = %s"
    return tenant.stack.sql(query, tenant.id, tenant.provider)[0][0]


@pytest.fixture
def watch(stack):
    """Looks at the whole run of a test, too: no event of it lacks a part."""
    made = Watch(stack)
    yield made
    for event in made.events():
        whole(stack, event)


# --- flows


def test_authorize(tenant, watch):
    answer = tenant.stack.api("GET", f"/api/oauth/authorize/{tenant.id}", source=ADDRESS, provider="zoho_crm")
    assert watch.actions() == ["connection.added", "authorize.started"]
    for event in watch.events():
        says(event, outcome="ok", client_id=tenant.id, provider="zoho_crm", connection_id=connection_of(tenant),
             incident_id=None, fingerprint=None, **by_key(tenant.stack, answer))  # fmt: skip
    assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])
    assert len({event["transaction"] for event in watch.events()}) == 1


def test_authorize_completed(tenant, watch):
    target = tenant.consent(tenant.begin())
    answer = tenant.callback(target)
    event = watch.one("authorize.completed")
    says(event, actor=f"key:{key_id(tenant.stack.key)}", actor_auth="state", outcome="ok", client_id=tenant.id, provider="zoho_crm", generation=1,
         connection_id=connection_of(tenant), request_id=answer.headers["X-Request-Id"])  # fmt: skip
    assert event["address"].startswith("127.") and FINGERPRINT.fullmatch(event["fingerprint"])
    assert watch.actions() == ["connection.added", "authorize.started", "authorize.completed", "connection.account_pinned"]
    # The same transaction: the row's own xmin is the event's.
    rows = tenant.stack.sql("select xmin::text from vestal.token where connection_id = %s", event["connection_id"])
    assert rows == [(str(int(event["transaction"]) % 2**32),)]


def test_fingerprint_names_the_token(connected, watch):
    """"Which token was it?" is answered alike by the event that brought it, the row, and each read."""
    connected.token()
    connected.connect()
    connected.token()
    first, completed, second = (e for e in watch.events() if e["action"] in ("token.read", "authorize.completed"))
    assert first["fingerprint"] == connected.stack.audit(client_id=connected.id, action="authorize.completed")[0]["fingerprint"]
    assert second["fingerprint"] == completed["fingerprint"] != first["fingerprint"]
    rows = connected.stack.sql(
        "select access_fingerprint, refresh_fingerprint from vestal.token where connection_id = %s", connection_of(connected)
    )
    assert rows[0][0] == second["fingerprint"] != rows[0][1]
    value = connected.token().json["access_token"]
    assert value[:8] not in second["fingerprint"]


@pytest.mark.parametrize(("how", "reason", "outcome"), [
    ("denied", "authorization_denied", "denied"), ("refused", "token_refused", "error"), ("away", "provider_unavailable", "error"),
    ("datacenter", "datacenter_mismatch", "error"),
])  # fmt: skip
def test_authorize_failed(connected, watch, how, reason, outcome):
    url = connected.begin()
    target = connected.consent(url, **({"decision": "deny"} if how == "denied" else {}))
    if how == "refused":
        connected.sim.control("faults", {"at": "token", "mode": "zoho_error", "error": "invalid_code"})
    if how == "away":
        connected.sim.control("faults", {"at": "token", "mode": "status", "status": 503})
    if how == "datacenter":
        target = re.sub(r"location=\w+", "location=zz", target)
    answer = connected.callback(target)
    assert answer.status >= 400
    event = watch.one("authorize.failed")
    says(event, actor=f"key:{key_id(connected.stack.key)}", outcome=outcome, reason=reason, client_id=connected.id, provider="zoho_crm", connection_id=connection_of(connected),
         generation=None, fingerprint=None, actor_auth="state", request_id=answer.headers["X-Request-Id"])  # fmt: skip
    attempt = connected.stack.sql(
        "select outcome, ended_at is not null from vestal.authorization_attempt where connection_id = %s order by id desc limit 1",
        event["connection_id"])  # fmt: skip
    assert attempt == [(reason, True)]


@pytest.mark.parametrize("target", ["?state=nobody-knows-this&code=x", "?code=x", "?state="])
def test_foreign_callback(stack, watch, target):
    answer = stack.api("GET", f"/api/oauth/callback/zoho_crm{target}", key=None, source=f"127.8.{secrets.randbelow(250)}.1")
    assert answer.status == 400
    if "code=" in target:
        says(watch.one("authorize.failed"), outcome="denied", reason="state_unknown", client_id=None, provider="zoho_crm", connection_id=None,
             actor="anonymous", actor_auth="state", request_id=answer.headers["X-Request-Id"])  # fmt: skip


def test_reauthorize(connected, watch):
    answer = connected.stack.api(
        "POST", f"/api/oauth/reauthorize/{connected.id}", {"provider": "zoho_crm", "reason": "it was \"seen\" on a screen"}, source=ADDRESS
    )
    assert answer.status == 200
    common = dict(outcome="ok", client_id=connected.id, provider="zoho_crm", connection_id=connection_of(connected),
                  incident_id=answer.json["incidentId"], reason='it was "seen" on a screen', **by_key(connected.stack, answer))  # fmt: skip
    assert watch.actions() == ["incident.opened", "reauthorize.requested"]
    says(watch.one("reauthorize.requested"), generation=1, **common)
    opened = watch.one("incident.opened")
    says(opened, **common)
    assert opened["detail"]["clientId"] == connected.id and opened["detail"]["cause"]
    first = connected.stack.audit(client_id=connected.id, action="authorize.completed")[0]["fingerprint"]
    assert watch.one("reauthorize.requested")["fingerprint"] == first, "which token was removed"
    assert len({event["transaction"] for event in watch.events()}) == 1


def test_emergency_from_request_to_recovery(connected, watch):
    answer = connected.stack.api(
        "POST", "/api/zoho/emergency-reauth", {"clientId": connected.id, "provider": "zoho_crm", "reason": "outage"}, source=ADDRESS
    )
    incident = answer.json["incidentId"]
    assert watch.actions() == ["incident.opened", "emergency.requested", "authorize.started"]
    for event in watch.events():
        says(event, outcome="ok", client_id=connected.id, incident_id=incident, reason="outage", **by_key(connected.stack, answer))
    done = connected.callback(connected.consent(answer.json["auth_url"]))
    assert done.status == 200
    completed, resolved = watch.one("authorize.completed"), watch.one("incident.resolved")
    says(resolved, incident_id=incident, generation=2, client_id=connected.id, actor_auth="state", request_id=done.headers["X-Request-Id"])
    # recovered is what is proved and distributed: the incident ends with the stores, not with the token
    assert int(completed["transaction"]) < int(resolved["transaction"])
    assert connected.stack.report(connected.id)["stores"] == {"database": 2, "file": 2, "environment": 2}
    assert resolved["detail"]["recoverySeconds"] >= 0
    told = connected.stack.sql("select kind, xmin::text from vestal.outbox where incident_id = %s order by id", incident)
    assert [kind for kind, _ in told] == ["incident.opened", "incident.resolved"]
    assert told[1][1] == str(int(resolved["transaction"]) % 2**32)


# --- reads


def test_token_read(connected, watch):
    key = connected.stack.new_key("service", "--client", connected.id)
    answer = connected.stack.api(
        "GET", f"/api/oauth/token/{connected.id}", key=key, source=ADDRESS, provider="zoho_crm"
    )
    assert answer.status == 200
    event = watch.one("token.read")
    says(event, actor=f"key:{key_id(key)}", actor_auth="api_key", address=ADDRESS, outcome="ok", client_id=connected.id,
         provider="zoho_crm", generation=1, request_id=answer.headers["X-Request-Id"], connection_id=connection_of(connected),
         detail={"degraded": False, "unchanged": False})  # fmt: skip
    assert FINGERPRINT.fullmatch(event["fingerprint"])


def test_token_read_unchanged(connected, watch):
    etag = connected.token().headers["ETag"]
    headers = [("Authorization", f"Bearer {connected.stack.key}"), ("If-None-Match", etag), ("User-Agent", "a consumer/1.0")]
    answer = connected.stack.request("GET", f"/api/oauth/token/{connected.id}?provider=zoho_crm", headers=headers)
    assert answer.status == 304
    event = [e for e in watch.events() if e["action"] == "token.read"][-1]
    says(event, outcome="ok", user_agent="a consumer/1.0", detail={"degraded": False, "unchanged": True})


def test_token_read_denied(tenant, watch):
    tenant.begin()
    answer = tenant.token()
    answer.problem(409, "reauthorization_required")
    says(watch.one("token.read"), outcome="denied", reason="reauthorization_required", client_id=tenant.id, provider="zoho_crm",
         generation=None, fingerprint=None, request_id=answer.headers["X-Request-Id"])  # fmt: skip


def test_every_read_is_an_event(connected, watch):
    for _ in range(5):
        assert connected.token().status == 200
    assert watch.actions() == ["token.read"] * 5
    assert len({event["transaction"] for event in watch.events()}) == 5


# --- refused callers


@pytest.mark.parametrize(("credential", "reason"), [
    ("Bearer nonsense", "malformed"), ("Basic YTpi", "not a bearer credential"),
    ("Bearer vst_000000000000_" + "A" * 49, "malformed"), ("auditor", "forbidden"),
])  # fmt: skip
def test_auth_failed(stack, watch, credential, reason):
    actor = {"actor": "anonymous", "actor_auth": "none"}
    if credential == "auditor":
        key = stack.new_key("auditor")
        credential, actor = f"Bearer {key}", {"actor": f"key:{key_id(key)}", "actor_auth": "api_key"}
    answer = stack.request("GET", "/api/oauth/clients", headers=[("Authorization", credential)], source=ADDRESS)
    assert answer.status in (401, 403)
    says(watch.one("auth.failed"), outcome="denied", reason=reason, address=ADDRESS, request_id=answer.headers["X-Request-Id"],
         object_type="route", object_id="/api/oauth/clients", **actor)  # fmt: skip


def test_a_key_used_from_a_wrong_address_is_named(stack, watch):
    key = stack.new_key("admin", "--address", "10.9.8.0/24")
    stack.api("GET", "/api/oauth/clients", key=key, source=ADDRESS).problem(401, "unauthenticated")
    says(watch.one("auth.failed"), outcome="denied", actor="anonymous", key_id=key_id(key), reason="unknown", address=ADDRESS)


def test_out_of_scope(connected, watch):
    key = connected.stack.new_key("service", "--client", "somebody-else")
    connected.token(key=key).problem(404, "client_unknown")
    event = watch.one("auth.failed")
    says(event, outcome="denied", actor=f"key:{key_id(key)}", reason="client_unknown", client_id=connected.id, provider="zoho_crm")
    assert "token.read" not in watch.actions()


# --- onboarding


def test_clients(stack, watch):
    name = f"t-{secrets.token_hex(6)}"
    added = stack.api("PUT", f"/api/oauth/clients/{name}", {"name": "One", "providers": ["zoho_crm", "zoho_calendar"]}, source=ADDRESS)
    assert added.status == 201
    assert [(e["action"], e["provider"]) for e in watch.events()] == [
        ("client.added", None), ("connection.added", "zoho_crm"), ("connection.added", "zoho_calendar")
    ]  # fmt: skip
    for event in watch.events():
        says(event, client_id=name, outcome="ok", **by_key(stack, added))
    later = Watch(stack)
    changed = stack.api("PUT", f"/api/oauth/clients/{name}", {"name": "Two", "providers": ["zoho_calendar"]}, source=ADDRESS)
    assert [(e["action"], e["provider"]) for e in later.events()] == [("client.changed", None), ("connection.removed", "zoho_crm")]
    for event in later.events():
        says(event, client_id=name, outcome="ok", **by_key(stack, changed))


def test_the_operator(stack, watch):
    name = f"t-{secrets.token_hex(6)}"
    stack.ctl("client", "add", name)
    stack.ctl("connect", name, "zoho_crm")
    stack.ctl("app", "set", "zoho_crm", "--client", name, "--client-id", f"1000.{name}", "--client-secret-file", "-",
              "--redirect-uri", "http://localhost/api/oauth/callback/zoho_crm", stdin="s3cret-s3cret\n")  # fmt: skip
    stack.ctl("client", "remove", name)
    assert watch.actions() == ["client.added", "connection.added", "app.set", "client.removed"]
    for event in watch.events():
        says(event, client_id=name, outcome="ok", **by_operator())
    says(watch.one("app.set"), provider="zoho_crm", generation=1, object_type="app", object_id=f"1000.{name}")
    assert "s3cret" not in str(watch.events())


def test_api_keys(stack, watch):
    made = json.loads(stack.ctl("api-key", "create", "--role", "service", "--name", "n", "--all-clients", "--json").stdout)
    stack.ctl("api-key", "revoke", made["id"])
    for action in ("api_key.created", "api_key.revoked"):
        says(watch.one(action), object_type="api_key", object_id=made["id"], outcome="ok", **by_operator())
    assert watch.one("api_key.created")["reason"] == "service"
    assert made["key"].split("_", 2)[2] not in str(watch.events())


def test_keys(stack, lone_stack):
    """Of the rings that tools/up made; and of one more."""
    for ring in ("token", "app", "copy", "spool", "audit", "session"):
        assert [e["object_id"] for e in stack.audit(action="key.added", object_id=ring)] == [ring]
    listed = {key["id"] for key in json.loads(stack.ctl("key", "list", "--json").stdout)["keys"]}
    assert {event["key_id"] for event in stack.audit(action="key.added")} == listed
    watch = Watch(lone_stack)
    added = json.loads(lone_stack.ctl("key", "add", "spool", "--json").stdout)
    says(watch.one("key.added"), key_id=added["id"], object_type="key_ring", object_id="spool", outcome="ok", **by_operator())


# --- what is not in it


def test_no_secret_in_any_column(connected):
    connected.token()
    connected.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": connected.id})
    connected.callback(connected.consent(connected.begin()))
    rows = connected.stack.sql("select e::text from vestal.audit_event e")
    text = "\n".join(row for (row,) in rows)
    ledger = connected.sim.ledger()
    values = [row["value"] for row in ledger["tokens"]] + [row["value"] for row in ledger["codes"]]
    assert len(values) > 4 and connected.id in text
    for value in [*values, connected.app_secret, connected.stack.key.split("_", 2)[2]]:
        raw = value.encode()
        assert not [1 for form in (value, raw.hex(), base64.b64encode(raw).decode().rstrip("=")) if form in text], "a secret is in the trail"


# --- no event, no effect


@contextmanager
def without_audit(stack, role):
    """The trail takes nothing more from that role; afterwards `migrate` puts its grants back."""
    may = "select has_any_column_privilege(%s, 'vestal.audit_event', 'insert')"
    stack.sql(f"revoke insert on vestal.audit_event from {role}")
    try:
        assert stack.sql(may, role) == [(False,)]
        yield
    finally:
        stack.ctl("migrate")
    assert stack.sql(may, role) == [(True,)]


def files(stack):
    roots = [Path(stack.env["VESTAL_STATE_DIR"]), Path(stack.env["VESTAL_RUNTIME_DIR"])]
    return {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def loner(lone_stack, sim):
    tenant = Tenant(lone_stack, sim)
    Tenant(lone_stack, sim, "zoho_calendar", tenant.id)
    return tenant


@pytest.fixture
def lone(loner):
    """A client that holds a token, on a stack that may be broken."""
    if loner.token().status != 200:
        loner.connect()
    return loner


CHANGES = {
    "authorize": ("GET", "/api/oauth/authorize/{id}?provider=zoho_crm", None),
    "authorize anew": ("GET", "/api/oauth/authorize/{id}?provider=zoho_calendar", None),
    "emergency": ("POST", "/api/zoho/emergency-reauth", {"clientId": "{id}", "provider": "zoho_crm"}),
    "reauthorize": ("POST", "/api/oauth/reauthorize/{id}", {"provider": "zoho_crm"}),
    "client changed": ("PUT", "/api/oauth/clients/{id}", {"name": "changed", "providers": ["zoho_crm", "zoho_calendar"]}),
    "client added": ("PUT", "/api/oauth/clients/{id}-2", {"providers": ["zoho_crm"]}),
    "token read": ("GET", "/api/oauth/token/{id}?provider=zoho_crm", None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_route_without_its_event_does_nothing(lone, name):
    method, path, body = CHANGES[name]
    body = body and json.loads(json.dumps(body).replace("{id}", lone.id))
    stack = lone.stack
    before = stack.tables(), files(stack)
    with without_audit(stack, "vestal_worker"):
        answer = stack.api(method, path.replace("{id}", lone.id), body)
        answer.problem(500, "database" if name != "token read" else "internal_error")
        assert (stack.tables(), files(stack)) == before
    assert not any(value.encode() in answer.body for value in lone.issued())
    again = stack.api(method, path.replace("{id}", lone.id), body)
    assert again.status < 300 and stack.tables() != before[0] or name == "token read", "only the trail was missing"


def test_a_callback_without_its_event_stores_nothing(lone):
    target = lone.consent(lone.begin())
    before = lone.stack.tables(), files(lone.stack), len(lone.issued())
    with without_audit(lone.stack, "vestal_worker"):
        lone.callback(target).problem(500, "database")
        after = lone.stack.tables(), files(lone.stack), len(lone.issued())
        assert after[2] == before[2] + 1, "the code was exchanged, as it should be for this test"
        used = before[0].pop("authorization_attempt"), after[0].pop("authorization_attempt")
        assert len(used[0]) == len(used[1]), "an attempt is used up before the provider is asked, and stays so"
        assert after[:2] == before[:2]
    lone.callback(target).problem(400, "state_unknown")


def test_a_denial_needs_no_event(lone):
    """What is refused stays refused, and our log says that the trail misses something."""
    with without_audit(lone.stack, "vestal_worker"):
        answer = lone.stack.api("GET", "/api/oauth/clients", key="vst_000000000000_nonsense")
        answer.problem(401, "unauthenticated")
    logged = [line for path in lone.stack.log_files() for line in path.read_text(errors="replace").splitlines() if "audit.not_written" in line]
    assert any(answer.headers["X-Request-Id"] in line for line in logged)


COMMANDS = {
    "client add": (["client", "add", "new-{id}"], None),
    "client remove": (["client", "remove", "spare-{id}"], None),
    "connect": (["connect", "spare-{id}", "zoho_calendar"], None),
    "app set": (["app", "set", "zoho_calendar", "--client-id", "1000.X", "--client-secret-file", "-", "--redirect-uri", "http://localhost/cb"], "secret\n"),
    "api-key create": (["api-key", "create", "--role", "admin", "--name", "n", "--all-clients", "--json"], None),
    "api-key revoke": (["api-key", "revoke", "{key}"], None),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_its_event_does_nothing(lone, name):
    stack = lone.stack
    stack.ctl("client", "add", f"spare-{lone.id}")
    spare = json.loads(stack.ctl("api-key", "create", "--role", "auditor", "--name", "spare", "--json").stdout)["id"]
    words, stdin = COMMANDS[name]
    words = [word.replace("{id}", lone.id).replace("{key}", spare) for word in words]
    before = stack.tables(), files(stack)
    with without_audit(stack, "vestal_operator"):
        done = stack.ctl(*words, stdin=stdin, check=False)
        assert done.returncode == 1 and "vst_" not in done.stdout, done
        assert (stack.tables(), files(stack)) == before
    assert stack.ctl(*words, stdin=stdin).returncode == 0


def test_states_are_not_in_the_trail(connected):
    states = [query_of(connected.begin())["state"] for _ in range(3)]
    text = str(connected.stack.sql("select e::text from vestal.audit_event e where client_id = %s", connected.id))
    assert not any(state in text for state in states)
