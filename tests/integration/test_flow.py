"""The main job through the front door: authorize, lose the token, recover; and what the other routes say meanwhile."""

import json
import re
import secrets
import stat
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from harness import DEFAULT_CLIENT, Tenant, eventually, query_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def at(text):
    assert RFC3339.fullmatch(text), text
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def in_s(text):
    return (at(text) - datetime.now(timezone.utc)).total_seconds()


def files(tenant):
    """The sealed copy and the environment file, there or not."""
    env = tenant.stack.env
    return (
        Path(env["VESTAL_STATE_DIR"], "copies", tenant.id, f"{tenant.provider}.vst"),
        Path(env["VESTAL_RUNTIME_DIR"], "env", f"{tenant.id}.{tenant.provider}.env"),
    )


def emergency(tenant, **more):
    answer = tenant.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": tenant.id, "provider": tenant.provider} | more)
    assert answer.status == 200, answer
    return answer.json


def connection_id(tenant):
    query = "select id from vestal.connection where client_id = %s and provider = %s"
    return tenant.stack.sql(query, tenant.id, tenant.provider)[0][0]


def shift(tenant, column, seconds):
    """Makes the token's time that many seconds from now."""
    tenant.stack.sql(
        f"update vestal.token set {column} = now() + make_interval(secs => %s) where connection_id = %s", seconds, connection_id(tenant)
    )


# --- the first authorization


def test_authorization_url(tenant):
    answer = tenant.stack.api("GET", f"/api/oauth/authorize/{tenant.id}", provider="zoho_crm")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"authorizationUrl", "expiresAt", "clientId", "provider"}
    assert (answer.json["clientId"], answer.json["provider"]) == (tenant.id, "zoho_crm")
    assert 590 < in_s(answer.json["expiresAt"]) <= 600
    url = urlsplit(answer.json["authorizationUrl"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == tenant.sim.url("/oauth/v2/auth")
    query = query_of(answer.json["authorizationUrl"])
    assert query | {"state": "", "code_challenge": ""} == {
        "response_type": "code",
        "client_id": tenant.app_id,
        "redirect_uri": f"{tenant.stack.env['VESTAL_URL']}/api/oauth/callback/zoho_crm",
        "scope": "ZohoCRM.modules.ALL,ZohoCRM.users.READ,AaaServer.profile.READ",
        "access_type": "offline",
        "prompt": "consent",
        "code_challenge_method": "S256",
        "state": "",
        "code_challenge": "",
    }
    for name in ("state", "code_challenge"):
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query[name])
    assert tenant.app_secret not in answer.body.decode()
    dump = str(tenant.stack.tables()["authorization_attempt"])
    assert query["state"] not in dump and query["state"].encode().hex() not in dump


@pytest.mark.parametrize("accept", [None, "*/*", BROWSER], ids=["none", "any", "browser"])
def test_authorization_redirects_a_browser(tenant, accept):
    answer = tenant.stack.api("GET", f"/api/oauth/authorize/{tenant.id}", accept=accept, provider="zoho_crm")
    assert answer.status == 303 and answer.body == b""
    assert answer.headers["Location"].startswith(tenant.sim.url("/oauth/v2/auth?"))
    done = tenant.callback(tenant.consent(answer.headers["Location"]))
    assert done.status == 200 and done.json["generation"] == 1


def test_every_flow_has_a_state_and_challenge_of_its_own(tenant):
    queries = [query_of(tenant.begin()) for _ in range(3)]
    assert len({query["state"] for query in queries}) == len({query["code_challenge"] for query in queries}) == 3


def test_first_authorization(tenant):
    url = tenant.begin()
    before = tenant.stack.report(tenant.id)
    assert before | {"clientId": tenant.id, "provider": "zoho_crm", "status": "missing", "cause": "never_connected",
                     "action": "reauthorize", "owner": "administrator", "generation": None, "expiresAt": None} == before  # fmt: skip
    assert before["stores"] == {"database": None, "file": None, "environment": None}
    answer = tenant.callback(tenant.consent(url))
    assert answer.status == 200 and answer.json == {
        "clientId": tenant.id, "provider": "zoho_crm", "status": "healthy", "generation": 1,
        "persisted": {"database": True, "file": True, "environment": True},
    }  # fmt: skip
    assert tenant.calls() == [("token", "us"), ("probe", "us"), ("identity", "us")]
    after = tenant.stack.report(tenant.id)
    times = {name: after.pop(name) for name in ("expiresAt", "lastRefreshedAt", "lastProvedAt", "nextRefreshAt")}
    assert after == {
        "clientId": tenant.id, "provider": "zoho_crm", "status": "healthy", "cause": "none", "action": "none",
        "owner": "none", "refreshExpiresAt": None, "failures": 0, "lastError": None, "generation": 1, "datacenter": "us",
        "passive": False, "stores": {"database": 1, "file": 1, "environment": 1},
    }  # fmt: skip
    assert 3580 < in_s(times["expiresAt"]) <= 3600
    assert timedelta(minutes=10) <= at(times["expiresAt"]) - at(times["nextRefreshAt"]) <= timedelta(minutes=11), "jittered"
    assert -20 < in_s(times["lastRefreshedAt"]) <= 0 and times["lastProvedAt"] == times["lastRefreshedAt"]


def test_callback_as_a_page(tenant):
    answer = tenant.callback(tenant.consent(tenant.begin()), accept=BROWSER)
    page = answer.body.decode()
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>The connection works</h1>" in page and tenant.id in page and "healthy" in page
    assert not any(value in page for value in tenant.issued("access") + tenant.issued("refresh"))
    assert "<script" not in page and answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_calendar(stack, sim):
    tenant = Tenant(stack, sim, "zoho_calendar")
    assert tenant.connect()["provider"] == "zoho_calendar"
    assert stack.report(tenant.id, "zoho_calendar")["status"] == "healthy"
    token = tenant.token().json
    assert token["access_token"] == tenant.issued()[-1] and token["authorization_scheme"] == "Zoho-oauthtoken"
    assert token["api_domain"] == sim.url("")
    assert "ZOHO_CALENDAR_ACCESS_TOKEN=" in files(tenant)[1].read_text()


def test_consent_in_another_data_centre(tenant):
    """The callback says where the account lives: the code is exchanged, proved and used from there on."""
    tenant.connect(datacenter="eu")
    assert tenant.calls() == [("token", "eu"), ("probe", "eu"), ("identity", "eu")]
    assert tenant.token().json["api_domain"] == tenant.sim.url("", "eu")
    assert tenant.stack.report(tenant.id)["datacenter"] == "eu"
    assert f"ZOHO_CRM_API_DOMAIN={tenant.sim.url('', 'eu')}\n" in files(tenant)[1].read_text()


# --- the emergency


def test_emergency_recovery(connected):
    tenant, stack = connected, connected.stack
    old = tenant.token().json["access_token"]
    first = emergency(tenant, reason="the tenant cannot work")
    assert first | {"success": True, "clientId": tenant.id, "provider": "zoho_crm"} == first
    assert set(first) == {"success", "auth_url", "expiresAt", "incidentId", "clientId", "provider", "instructions"}
    assert 590 < in_s(first["expiresAt"]) <= 600 and len(first["instructions"]) >= 2
    assert tenant.token().json["access_token"] == old
    second = emergency(tenant)
    assert second["incidentId"] == first["incidentId"] and second["auth_url"] != first["auth_url"]
    target = tenant.consent(second["auth_url"])
    assert tenant.token().json["access_token"] == old
    assert tenant.callback(target).json["generation"] == 2
    new = tenant.token().json
    assert new["access_token"] == tenant.issued()[-1] != old and new["generation"] == 2
    assert stack.report(tenant.id)["stores"] == {"database": 2, "file": 2, "environment": 2}
    check_incident(tenant, first["incidentId"])


def check_incident(tenant, incident):
    stack, actor = tenant.stack, "key:" + tenant.stack.key.split("_")[1]
    rows = stack.sql("select id, cause, state, reason, opened_by, resolved_by from vestal.incident where connection_id = %s",
                     connection_id(tenant))  # fmt: skip
    assert rows == [(incident, "none", "resolved", "the tenant cannot work", actor, actor)]
    ((recovery,),) = stack.sql("select time_to_recover from vestal.v_incident_ttr where id = %s", incident)
    assert timedelta(0) < recovery < timedelta(minutes=1)
    outbox = stack.sql("select kind, payload, sent_at from vestal.outbox where incident_id = %s order by id", incident)
    assert [(kind, sent) for kind, _, sent in outbox] == [("incident.opened", None), ("incident.resolved", None)]
    assert outbox[0][1]["clientId"] == tenant.id and outbox[0][1]["reason"] == "the tenant cannot work"
    assert 0 <= outbox[1][1]["recoverySeconds"] < 60
    events = stack.audit(client_id=tenant.id, incident_id=incident)
    assert [event["action"] for event in events] == [
        "incident.opened", "emergency.requested", "authorize.started", "emergency.requested", "authorize.started",
        "authorize.completed", "incident.resolved",
    ]  # fmt: skip
    (done,) = stack.audit(client_id=tenant.id, action="authorize.completed", generation=2)
    assert (done["outcome"], done["provider"], done["actor"]) == ("ok", "zoho_crm", actor)
    assert done["request_id"] and done["address"].startswith("127.") and done["fingerprint"]
    assert done["fingerprint"] not in tenant.issued()


@pytest.mark.parametrize("place", ["token", "probe"])
def test_old_token_serves_while_the_new_one_is_proved(connected, place):
    old = connected.token().json["access_token"]
    target = connected.consent(emergency(connected)["auth_url"])
    connected.sim.control("faults", {"at": place, "mode": "hang"})
    answers = []
    caller = threading.Thread(target=lambda: answers.append(connected.callback(target)))
    caller.start()
    connected.sim.control("wait", {"at": "hang", "count": 1})
    meanwhile = connected.token()
    connected.sim.control("faults", method="DELETE")
    caller.join()
    assert meanwhile.json["access_token"] == old and meanwhile.json["generation"] == 1
    assert answers[0].status == 200 and connected.token().json["access_token"] == connected.issued()[-1] != old


def test_emergency_by_get(connected):
    answer = connected.stack.api("GET", "/api/zoho/emergency-reauth", clientId=connected.id, reason="by a link")
    assert answer.status == 200 and answer.json["success"] is True and answer.json["provider"] == "zoho_crm"
    assert connected.callback(connected.consent(answer.json["auth_url"])).json["generation"] == 2
    (event,) = connected.stack.audit(client_id=connected.id, action="emergency.requested")
    assert event["reason"] == "by a link"


def test_emergency_of_a_client_never_connected(tenant):
    started = emergency(tenant)
    cause = "select cause from vestal.incident where id = %s"
    assert tenant.stack.sql(cause, started["incidentId"]) == [("never_connected",)]
    assert tenant.callback(tenant.consent(started["auth_url"])).json["generation"] == 1


def test_emergency_without_client_needs_the_setting(stack):
    before = stack.tables()
    for answer in (stack.api("POST", "/api/zoho/emergency-reauth"), stack.api("GET", "/api/zoho/emergency-reauth")):
        assert answer.problem(400, "invalid_input") == ["clientId"]
    assert stack.tables() == before


def test_emergency_of_the_default_client(lone_stack, sim):
    tenant = Tenant(lone_stack, sim, id=DEFAULT_CLIENT)
    for number, method in enumerate(("POST", "GET"), 1):
        started = lone_stack.api(method, "/api/zoho/emergency-reauth").json
        assert (started["clientId"], started["provider"]) == (DEFAULT_CLIENT, "zoho_crm")
        assert tenant.callback(tenant.consent(started["auth_url"])).json["generation"] == number


def test_generations_count_on(tenant):
    assert [tenant.connect()["generation"] for _ in range(3)] == [1, 2, 3]
    tenant.stack.api("POST", f"/api/oauth/reauthorize/{tenant.id}", {"provider": "zoho_crm"})
    assert tenant.connect()["generation"] == 4
    query = "select generation, ended_by from vestal.token_history where connection_id = %s order by 1"
    assert tenant.stack.sql(query, connection_id(tenant)) == [
        (1, "authorize.completed"), (2, "authorize.completed"), (3, "reauthorize.requested"),
    ]  # fmt: skip


def test_a_callback_without_refresh_token_keeps_the_old_one(connected):
    query = "select generation, refresh_fingerprint from vestal.token where connection_id = %s"
    ((_, old),) = connected.stack.sql(query, connection_id(connected))
    connected.sim.control("faults", {"at": "token", "mode": "success_without", "fields": ["refresh_token"]})
    connected.connect()
    assert connected.stack.sql(query, connection_id(connected)) == [(2, old)] and old


def test_new_generation_is_announced(tenant):
    listener = tenant.stack.connect_database()
    listener.cursor().execute("listen vestal_token")
    tenant.connect()
    tenant.stack.api("POST", f"/api/oauth/reauthorize/{tenant.id}", {"provider": "zoho_crm"})
    eventually(lambda: listener.poll() or len(listener.notifies) >= 2)
    told = [json.loads(notice.payload) for notice in listener.notifies]
    listener.close()
    name = {"clientId": tenant.id, "provider": "zoho_crm"}
    assert told == [name | {"generation": 1}, name | {"generation": None}]


# --- the stores


def test_sealed_copy(connected):
    copy, _ = files(connected)
    content = copy.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600 and len(content) > 500
    for value in connected.issued("access") + connected.issued("refresh") + [connected.app_secret, connected.app_id]:
        assert value.encode() not in content
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    connected.connect()
    assert copy.read_bytes() != content


def test_environment_file(connected):
    _, environment = files(connected)
    token = connected.token().json
    assert environment.read_text() == (
        f"ZOHO_CRM_ACCESS_TOKEN={token['access_token']}\n"
        "ZOHO_CRM_AUTHORIZATION_SCHEME=Zoho-oauthtoken\n"
        f"ZOHO_CRM_EXPIRES_AT={token['expires_at']}\n"
        "ZOHO_CRM_GENERATION=1\n"
        f"ZOHO_CRM_API_DOMAIN={token['api_domain']}\n"
    )
    assert stat.S_IMODE(environment.stat().st_mode) == 0o640
    inode = environment.stat().st_ino
    connected.connect()
    assert environment.stat().st_ino != inode, "written in place: a reader could see half of it"
    assert "ZOHO_CRM_GENERATION=2\n" in environment.read_text()


def test_a_failed_store_never_fails_the_callback(connected):
    """A folder in the way of both files: reported, and mended by the next token."""
    obstacles = files(connected)
    for path in obstacles:
        path.unlink()
        path.mkdir()
    assert connected.connect()["persisted"] == {"database": True, "file": False, "environment": False}
    report = connected.stack.report(connected.id)
    assert report["stores"] == {"database": 2, "file": 1, "environment": 1}
    for path in obstacles:
        path.rmdir()
    assert connected.connect()["persisted"] == {"database": True, "file": True, "environment": True}
    assert connected.stack.report(connected.id)["stores"] == {"database": 3, "file": 3, "environment": 3}


def test_database_holds_sealed_bytes_only(connected):
    rows = connected.stack.tables()
    dump = str(rows)
    for value in connected.issued("access") + connected.issued("refresh") + [connected.app_secret]:
        assert value not in dump and value.encode().hex() not in dump
    assert len(rows["token"]) >= 1


# --- reauthorize


def test_reauthorize(connected):
    tenant, stack = connected, connected.stack
    value = tenant.issued()[-1]
    answer = stack.api("POST", f"/api/oauth/reauthorize/{tenant.id}", {"provider": "zoho_crm", "reason": "leaked"})
    incident = answer.json["incidentId"]
    assert answer.status == 200 and answer.json == {
        "message": "Token deleted. Initiate new OAuth flow.",
        "authorizeUrl": f"/api/oauth/authorize/{tenant.id}?provider=zoho_crm",
        "clientId": tenant.id, "provider": "zoho_crm", "incidentId": incident,
    }  # fmt: skip
    tenant.token().problem(409, "reauthorization_required")
    assert not any(path.exists() for path in files(tenant))
    report = stack.report(tenant.id)
    assert (report["status"], report["cause"], report["action"]) == ("missing", "removed", "reauthorize")
    assert report["generation"] is None and report["stores"] == {"database": None, "file": None, "environment": None}
    ((sealed, reason, actor),) = stack.sql(
        "select access_sealed, ended_reason, ended_actor from vestal.token_history where connection_id = %s", connection_id(tenant)
    )
    assert len(sealed) > len(value) and value.encode() not in bytes(sealed) and reason == "leaked" and actor.startswith("key:")
    (event,) = stack.audit(client_id=tenant.id, action="reauthorize.requested")
    assert (event["generation"], event["reason"], event["incident_id"]) == (1, "leaked", incident)
    started = stack.api("GET", answer.json["authorizeUrl"])
    assert tenant.callback(tenant.consent(started.json["authorizationUrl"])).json["generation"] == 2
    assert stack.report(tenant.id)["status"] == "healthy"
    assert stack.sql("select state from vestal.incident where id = %s", incident) == [("resolved",)]


def test_reauthorize_twice_joins_the_incident(connected):
    path, body = f"/api/oauth/reauthorize/{connected.id}", {"provider": "zoho_crm"}
    answers = [connected.stack.api("POST", path, body).json for _ in range(2)]
    assert answers[0] == answers[1] and emergency(connected)["incidentId"] == answers[0]["incidentId"]
    assert len(connected.stack.sql("select 1 from vestal.token_history where connection_id = %s", connection_id(connected))) == 1


# --- the token read


def test_token_read(connected):
    answer = connected.token()
    expires = answer.json["expires_in"]
    assert answer.status == 200 and answer.headers["ETag"] == '"1"' and answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "access_token": connected.issued()[-1], "token_type": "Bearer", "authorization_scheme": "Zoho-oauthtoken",
        "expires_at": connected.stack.report(connected.id)["expiresAt"], "expires_in": expires, "generation": 1,
        "api_domain": connected.sim.url(""), "degraded": False,
    }  # fmt: skip
    assert 3580 < expires <= 3600
    (event,) = connected.stack.audit(client_id=connected.id, action="token.read")
    assert event["request_id"] == answer.headers["X-Request-Id"] and event["generation"] == 1 and event["outcome"] == "ok"


@pytest.mark.parametrize(
    "known, status",
    [('"1"', 304), ('W/"1"', 304), ('"2"', 200), ("1", 200), ('"01"x', 200), ('""', 200), ('"1', 200), ("*", 200)],
)
def test_token_if_none_match(connected, known, status):
    headers = [("Authorization", f"Bearer {connected.stack.key}"), ("If-None-Match", known)]
    answer = connected.stack.request("GET", f"/api/oauth/token/{connected.id}?provider=zoho_crm", headers=headers)
    assert answer.status == status and answer.headers["ETag"] == '"1"'
    assert (answer.body == b"") == (status == 304)
    (event,) = connected.stack.audit(client_id=connected.id, action="token.read")
    assert event["detail"]["unchanged"] is (status == 304)


def test_min_ttl(connected):
    assert connected.token(min_ttl=3601).problem(400, "invalid_input") == ["min_ttl"]
    assert connected.token(min_ttl=3000).json["degraded"] is False
    connected.sim.control("faults", {"at": "token", "mode": "status", "status": 500, "times": 0})  # no renewal comes of it
    shift(connected, "expires_at", 30)
    assert connected.token().json["degraded"] is True
    assert connected.token(min_ttl=10).json["degraded"] is False
    answer = connected.token(min_ttl=60)
    answer.problem(503, "token_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert connected.issued()[-1] not in answer.body.decode()


def test_expired_token_is_not_served(connected):
    connected.sim.control("faults", {"at": "token", "mode": "status", "status": 500, "times": 0})  # no renewal comes of it
    shift(connected, "expires_at", -1)
    assert connected.stack.report(connected.id)["status"] == "expired"
    for query in ({}, {"min_ttl": 0}):
        answer = connected.token(**query)
        answer.problem(503, "token_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    events = connected.stack.audit(client_id=connected.id, action="token.read")
    assert [(event["outcome"], event["reason"]) for event in events] == [("denied", "token_unavailable")] * 2


def test_overdue_renewal_is_seen(connected):
    connected.stack.sql("update vestal.connection set overdue_at = now() where client_id = %s", connected.id)
    report = connected.stack.report(connected.id)
    assert (report["status"], report["action"]) == ("expiring", "wait")
    assert connected.token().status == 200


def test_grant_that_ends_soon_is_seen(connected):
    shift(connected, "grant_ends_at", 6 * 86400)
    report = connected.stack.report(connected.id)
    assert (report["status"], report["action"], report["owner"]) == ("expiring", "reauthorize", "administrator")
    assert 5.9 * 86400 < in_s(report["refreshExpiresAt"]) <= 6 * 86400
    shift(connected, "grant_ends_at", 8 * 86400)
    assert connected.stack.report(connected.id)["status"] == "healthy"


def test_service_reads_what_it_is_for(connected):
    key = connected.stack.new_key("service", "--client", connected.id)
    assert connected.token(key=key).json["access_token"] == connected.issued()[-1]
    (event,) = connected.stack.audit(client_id=connected.id, action="token.read")
    assert event["actor"] == "key:" + key.split("_")[1]


# --- clients


def listed(stack, client, key=""):
    rows = stack.api("GET", "/api/oauth/clients", key=key).json["clients"]
    return next((row for row in rows if row["clientId"] == client), None)


def test_onboarding(stack):
    client = "o-" + secrets.token_hex(6)
    path = f"/api/oauth/clients/{client}"
    made = stack.api("PUT", path, {"name": "Ødland & Söhne", "providers": ["zoho_crm"]})
    assert made.status == 201 and made.json == {"clientId": client, "name": "Ødland & Söhne", "providers": ["zoho_crm"]}
    assert listed(stack, client) == made.json and stack.report(client)["status"] == "missing"
    changed = stack.api("PUT", path, {"providers": ["zoho_calendar", "zoho_crm"]})
    assert changed.status == 200 and changed.json["name"] == "Ødland & Söhne"
    assert changed.json["providers"] == ["zoho_calendar", "zoho_crm"]
    fewer = stack.api("PUT", path, {"name": "Less", "providers": ["zoho_calendar"]})
    assert fewer.json == listed(stack, client) == {"clientId": client, "name": "Less", "providers": ["zoho_calendar"]}
    assert stack.api("GET", "/divine/oauth/health", clientId=client).json["data"]["total"] == 1
    actions = [event["action"] for event in stack.audit(client_id=client)]
    assert actions == [
        "client.added", "connection.added", "client.changed", "connection.added", "client.changed", "connection.removed",
    ]  # fmt: skip


def test_client_without_name_bears_its_id(stack):
    client = "o-" + secrets.token_hex(6)
    made = stack.api("PUT", f"/api/oauth/clients/{client}", {"providers": []})
    assert made.json == {"clientId": client, "name": client, "providers": []}


def test_a_provider_that_holds_a_token_is_not_taken_away(connected):
    before = connected.stack.tables()
    answer = connected.stack.api("PUT", f"/api/oauth/clients/{connected.id}", {"name": "New", "providers": ["zoho_calendar"]})
    answer.problem(409, "in_use")
    assert connected.stack.tables() == before
    connected.stack.api("POST", f"/api/oauth/reauthorize/{connected.id}", {"provider": "zoho_crm"})
    assert connected.stack.api("PUT", f"/api/oauth/clients/{connected.id}", {"providers": []}).status == 200
    connected.token().problem(404, "connection_unknown")
    assert connected.connect()["generation"] == 2, "the counter outlives the connection's absence"


# --- health


def health(stack, key="", **query):
    answer = stack.api("GET", "/divine/oauth/health", key=key, **query)
    assert answer.status == 200, answer
    return answer.json["data"]


def names(data):
    return [(row["clientId"], row["provider"]) for row in data["tokens"]]


@pytest.fixture
def crowd(stack, sim):
    """Three clients with both providers; one is connected. Returns its tenant and the ids."""
    tenant = Tenant(stack, sim)
    tenant.connect()
    ids = sorted([tenant.id] + ["h-" + secrets.token_hex(6) for _ in range(2)])
    for client in ids:
        assert stack.api("PUT", f"/api/oauth/clients/{client}", {"providers": ["zoho_crm", "zoho_calendar"]}).status in (200, 201)
    return tenant, ids


def test_health_envelope(connected):
    answer = connected.stack.api("GET", "/divine/oauth/health", clientId=connected.id)
    assert set(answer.json) == {"success", "data", "metadata"} and answer.json["success"] is True
    assert set(answer.json["data"]) == {"tokens", "unhealthy", "total", "next"}
    metadata = answer.json["metadata"]
    assert metadata["request_id"] == answer.headers["X-Request-Id"] and -5 < in_s(metadata["timestamp"]) <= 1
    assert 0 <= metadata["latency_ms"] < 5000


def test_health_filters_and_counts(crowd):
    tenant, ids = crowd
    stack = tenant.stack
    data = health(stack)
    assert data["total"] == len(data["tokens"]) and data["next"] is None
    assert data["unhealthy"] == sum(row["status"] != "healthy" for row in data["tokens"])
    assert names(data) == sorted(names(data))
    data = health(stack, clientId=tenant.id)
    assert names(data) == [(tenant.id, "zoho_calendar"), (tenant.id, "zoho_crm")]
    assert (data["total"], data["unhealthy"]) == (2, 1)
    data = health(stack, clientId=tenant.id, status="healthy")
    assert names(data) == [(tenant.id, "zoho_crm")] and (data["total"], data["unhealthy"]) == (1, 0)
    assert health(stack, clientId=tenant.id, status="expired,invalid")["total"] == 0
    assert health(stack, clientId=tenant.id, status="missing,healthy")["total"] == 2
    calendars = health(stack, provider="zoho_calendar")
    assert {row["provider"] for row in calendars["tokens"]} == {"zoho_calendar"} and calendars["total"] == len(calendars["tokens"])
    assert health(stack, clientId="nobody-there") == {"tokens": [], "unhealthy": 0, "total": 0, "next": None}
    assert {row["status"] for row in health(stack, status="missing")["tokens"]} == {"missing"}


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_health_pages(crowd, limit):
    tenant, ids = crowd
    whole, seen, after = health(tenant.stack), [], {}
    for _ in range(len(whole["tokens"]) + 1):
        page = health(tenant.stack, limit=limit, **after)
        assert (page["total"], page["unhealthy"]) == (whole["total"], whole["unhealthy"])
        assert len(page["tokens"]) == limit or page["next"] is None
        seen += names(page)
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == names(whole)
    exact = health(tenant.stack, clientId=tenant.id, limit=2)
    assert len(exact["tokens"]) == 2 and exact["next"] is None, "a full last page is the last"


def test_health_is_streamed(stack):
    """More than one buffer full: every report arrives, in order, and the answer is whole JSON."""
    ids = sorted(f"many-{number:03}" for number in range(100))
    stack.sql("insert into vestal.client (id, name) select unnest(%s), 'x' on conflict do nothing", ids)
    stack.sql("insert into vestal.connection (client_id, provider) select unnest(%s), 'zoho_crm' on conflict do nothing", ids)
    answer = stack.api("GET", "/divine/oauth/health", status="missing")
    assert len(answer.body) > 40000
    assert [name for name, _ in names(answer.json["data"]) if name.startswith("many-")] == ids
    stack.sql("update vestal.connection set removed_at = now() where client_id = any (%s)", ids)


def test_scope_of_clients_binds_lists_and_counts(crowd):
    tenant, ids = crowd
    stack, two = tenant.stack, sorted([tenant.id, next(i for i in ids if i != tenant.id)])
    for role in ("admin", "operator", "auditor"):
        key = stack.new_key(role, *[word for client in two for word in ("--client", client)])
        data = health(stack, key=key)
        assert {row["clientId"] for row in data["tokens"]} == set(two) and (data["total"], data["unhealthy"]) == (4, 3)
        outside = next(client for client in ids if client not in two)
        assert health(stack, key=key, clientId=outside)["total"] == 0
        assert names(health(stack, key=key, clientId=tenant.id, status="healthy")) == [(tenant.id, "zoho_crm")]
        assert health(stack, key=key, limit=3)["total"] == 4
    key = stack.new_key("admin", "--client", tenant.id)
    rows = stack.api("GET", "/api/oauth/clients", key=key).json["clients"]
    assert [row["clientId"] for row in rows] == [tenant.id]


def test_scope_of_providers_binds_lists_and_counts(crowd):
    tenant, ids = crowd
    stack = tenant.stack
    key = stack.new_key("admin", "--client", tenant.id, "--provider", "zoho_calendar")
    data = health(stack, key=key)
    assert names(data) == [(tenant.id, "zoho_calendar")] and (data["total"], data["unhealthy"]) == (1, 1)
    assert health(stack, key=key, provider="zoho_crm")["total"] == 0
    assert stack.api("GET", "/api/oauth/clients", key=key).json["clients"][0]["providers"] == ["zoho_calendar"]
    before = stack.tables()
    stack.api("PUT", f"/api/oauth/clients/{tenant.id}", {"providers": []}, key=key).problem(403, "forbidden")
    tenant.token(key=key).problem(404, "client_unknown")
    assert stack.tables() == before


# --- what is taken away while a flow is under way


def test_a_connection_taken_away_takes_its_flows_with_it(tenant):
    stack, target = tenant.stack, tenant.consent(tenant.begin())
    assert stack.api("PUT", f"/api/oauth/clients/{tenant.id}", {"providers": []}).status == 200
    tenant.callback(target).problem(400, "state_unknown")
    assert stack.sql("select 1 from vestal.token t join vestal.connection c on c.id = t.connection_id where client_id = %s", tenant.id) == []


def test_a_removed_client_takes_its_flows_with_it_and_comes_back_empty(tenant):
    stack, target = tenant.stack, tenant.consent(tenant.begin())
    stack.ctl("client", "remove", tenant.id)
    tenant.callback(target).problem(400, "state_unknown")
    back = stack.api("PUT", f"/api/oauth/clients/{tenant.id}", {"providers": ["zoho_crm"]})
    assert back.status == 201 and tenant.token().problem(409, "reauthorization_required") == []
    assert stack.audit(client_id=tenant.id, action="connection.added")[-1]["provider"] == "zoho_crm"


def test_an_operator_starts_flows_but_connects_nobody(tenant):
    stack = tenant.stack
    key = stack.new_key("operator")
    answer = stack.api("GET", f"/api/oauth/authorize/{tenant.id}", key=key, provider="zoho_crm")
    answer.problem(404, "connection_unknown")
    tenant.begin()
    assert stack.api("GET", f"/api/oauth/authorize/{tenant.id}", key=key, provider="zoho_crm").status == 200


# --- stores that fail, tokens that do not open


def test_a_store_that_fails_opens_an_incident_and_is_no_error(tenant):
    stack = tenant.stack
    blocked = Path(stack.env["VESTAL_STATE_DIR"]) / "copies" / tenant.id
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where a folder should be")
    try:
        done = tenant.connect()
        assert done["persisted"] == {"database": True, "file": False, "environment": True}
        rows = stack.sql(
            "select i.cause, i.state, o.kind from vestal.incident i join vestal.outbox o on o.incident_id = i.id"
            " join vestal.connection c on c.id = i.connection_id where c.client_id = %s", tenant.id)  # fmt: skip
        assert rows == [("our_fault", "open", "incident.opened")]
        assert stack.report(tenant.id)["stores"] == {"database": 1, "file": None, "environment": 1}
    finally:
        blocked.unlink()


def test_a_token_that_does_not_open_is_quarantined(connected):
    stack = connected.stack
    stack.sql(
        "update vestal.token t set access_sealed = set_byte(access_sealed, 90, get_byte(access_sealed, 90) # 1)"
        " from vestal.connection c where c.id = t.connection_id and c.client_id = %s", connected.id)  # fmt: skip
    for _ in range(2):
        answer = connected.token()
        answer.problem(503, "sealed_unreadable")
        assert int(answer.headers["Retry-After"]) > 0
    report = stack.report(connected.id)
    assert (report["status"], report["cause"], report["owner"]) == ("quarantined", "sealed_unreadable", "operator")
    assert len(stack.audit(client_id=connected.id, action="token.quarantined")) == 1
    assert [e["outcome"] for e in stack.audit(client_id=connected.id, action="token.read")][1::2] == ["error", "error"]
