"""A callback is anybody's word: what it may not achieve, and what a provider's bad day must not break."""

import json
import re
import secrets
import threading
import time
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from harness import query_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PLANT = "pRoViDeRsAyS"
TIMEOUT_S = 2  # provider_timeout_s of the shared stack


def edited(target, **changes):
    """The callback with parameters set, or taken out by None."""
    path, _, query = target.partition("?")
    kept = {name: value for name, value in (dict(parse_qsl(query)) | changes).items() if value is not None}
    return f"{path}?{urlencode(kept)}"


def attempts(tenant):
    return tenant.stack.sql(
        "select a.outcome, a.ended_at is not null from vestal.authorization_attempt a join vestal.connection c on c.id = a.connection_id"
        " where c.client_id = %s order by a.id", tenant.id)  # fmt: skip


def failures(tenant, **wanted):
    events = tenant.stack.audit(client_id=tenant.id, action="authorize.failed", **wanted)
    return [(event["outcome"], event["reason"]) for event in events]


class Held:
    """What must be the same after a flow that failed: the token, its reports, and nothing sent in vain."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.before = self.look()

    def look(self):
        tenant = self.tenant
        tables = {name: rows for name, rows in tenant.stack.tables().items() if name != "authorization_attempt"}
        return tenant.token().json["access_token"], tenant.stack.report(tenant.id), tables

    def still(self):
        assert self.look() == self.before


def refuse(tenant, target, status, slug, fields=(), calls=0):
    """The callback is refused, with so many requests sent to the provider."""
    before = len(tenant.sim.ledger()["requests"])
    answer = tenant.callback(target)
    assert answer.problem(status, slug) == list(fields)
    assert len(tenant.sim.ledger()["requests"]) == before + calls
    return answer


# --- the state


def test_unknown_missing_and_empty_state(connected):
    target = connected.consent(connected.begin())
    tables = connected.stack.tables()
    for state in (None, "", "x", secrets.token_urlsafe(32), "' or '1'='1", "s" * 3000):
        for more in ({}, {"code": None, "error": "access_denied"}):
            answer = refuse(connected, edited(target, state=state, **more), 400, "state_unknown")
            (event,) = connected.stack.audit(request_id=answer.headers["X-Request-Id"])
            assert (event["action"], event["outcome"], event["reason"]) == ("authorize.failed", "denied", "state_unknown")
    assert connected.stack.tables() == tables
    assert connected.callback(target).status == 200


def test_replayed_state(connected):
    target = connected.consent(connected.begin())
    assert connected.callback(target).json["generation"] == 2
    held = Held(connected)
    for again in (target, edited(target, code="1000.other"), edited(target, code=None, error="access_denied")):
        refuse(connected, again, 400, "state_unknown")
    held.still()


def test_expired_state(connected):
    held = Held(connected)
    target = connected.consent(connected.begin())
    connected.stack.sql(
        "update vestal.authorization_attempt a set expires_at = now() from vestal.connection c"
        " where c.id = a.connection_id and c.client_id = %s", connected.id)  # fmt: skip
    refuse(connected, target, 400, "state_unknown")
    held.still()


def test_state_of_another_provider(connected):
    target = connected.consent(connected.begin())
    refuse(connected, target.replace("/zoho_crm?", "/zoho_calendar?"), 400, "state_unknown")
    assert connected.callback(target).json["generation"] == 2, "the flow itself is not harmed"


def test_unknown_refusals_are_all_alike(connected):
    """Nobody learns from the answer whether a state was ever there."""
    target = connected.consent(connected.begin())
    foreign = connected.callback(target.replace("/zoho_crm?", "/zoho_calendar?"))
    connected.callback(target)
    used, never = connected.callback(target), connected.callback(edited(target, state="never"))
    assert len({json.dumps({**answer.json, "requestId": ""}) for answer in (foreign, used, never)}) == 1


def test_two_callbacks_at_once(connected):
    """One wins, and only that one asks the provider."""
    for generation in range(2, 8):
        target, answers = connected.consent(connected.begin()), []
        gate = threading.Barrier(4)

        def call():
            gate.wait()
            answers.append(connected.callback(target))

        before = len(connected.calls())
        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert sorted(answer.status for answer in answers) == [200, 400, 400, 400]
        assert connected.calls()[before:] == [("token", "us"), ("probe", "us"), ("identity", "us")]
        assert connected.token().json["generation"] == generation


def test_a_failed_flow_is_over(connected):
    target = connected.consent(connected.begin())
    refuse(connected, edited(target, code="1000.wrong.code"), 422, "token_refused", calls=1)
    refuse(connected, target, 400, "state_unknown")


# --- consent refused


def test_denied_consent(connected):
    held = Held(connected)
    answer = refuse(connected, connected.consent(connected.begin(), decision="deny"), 400, "authorization_denied")
    assert "Nothing was changed" in answer.json["detail"]
    assert attempts(connected)[-1] == ("authorization_denied", True)
    assert failures(connected) == [("denied", "authorization_denied")]
    held.still()


def test_denied_emergency_leaves_the_incident_open(connected):
    started = connected.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": connected.id}).json
    refuse(connected, connected.consent(started["auth_url"], decision="deny"), 400, "authorization_denied")
    state = "select state, resolved_at from vestal.incident where id = %s"
    assert connected.stack.sql(state, started["incidentId"]) == [("open", None)]
    connected.connect()
    assert connected.stack.sql(state, started["incidentId"])[0][0] == "resolved"


ERRORS = [
    ("access_denied", 400, "authorization_denied"), ("invalid_scope", 400, "authorization_denied"),
    ("unauthorized_client", 400, "authorization_denied"), (f"<b>{PLANT}</b>", 400, "authorization_denied"),
    ("server_error", 502, "provider_unavailable"),
    ("temporarily_unavailable", 502, "provider_unavailable"),
]  # fmt: skip


@pytest.mark.parametrize("error, status, slug", ERRORS, ids=[error[:24].strip() for error, _, _ in ERRORS])
def test_error_of_the_provider(connected, error, status, slug):
    held = Held(connected)
    lies = {"error": error, "error_description": PLANT, "error_uri": f"http://{PLANT}.example/"}
    for more in ({"code": None}, {}):  # a code beside an error is not used
        target = edited(connected.consent(connected.begin()), **lies, **more)
        answer = refuse(connected, target, status, slug)
        assert PLANT.lower() not in answer.body.decode().lower()
        page = connected.callback(edited(connected.consent(connected.begin()), **lies, **more), accept=BROWSER)
        assert page.status == status and PLANT.lower() not in page.body.decode().lower()
    held.still()


# --- what else a callback says


def forgeries(tenant):
    """Parameters that name a place other than where the code comes from."""
    us, eu, port = tenant.sim.url(""), tenant.sim.url("", "eu"), tenant.sim.port
    return {
        "attacker's server": {"accounts-server": "http://attacker.example"},
        "attacker's server on this host": {"accounts-server": f"http://127.0.0.66:{port}"},
        "look-alike name": {"accounts-server": f"http://127.0.0.1.attacker.example:{port}"},
        "our name as user": {"accounts-server": f"http://127.0.0.1:{port}@attacker.example"},
        "longer port": {"accounts-server": us + "0"},
        "path": {"accounts-server": us + "/"},
        "query": {"accounts-server": us + "?"},
        "https": {"accounts-server": us.replace("http:", "https:")},
        "upper case": {"accounts-server": us.replace("http:", "HTTP:")},
        "space": {"accounts-server": us + " "},
        "no scheme": {"accounts-server": us.partition("//")[2]},
        "real one of the built-in table": {"accounts-server": "https://accounts.zoho.com"},
        "unknown location": {"location": "xx"},
        "upper case location": {"location": "US"},
        "location like a host": {"location": f"127.0.0.1:{port}"},
        "unknown location alone": {"location": "attacker.example", "accounts-server": None},
        "unknown server alone": {"location": None, "accounts-server": "http://attacker.example"},
        "server of another location": {"location": "us", "accounts-server": eu},
        "location of another server": {"location": "eu", "accounts-server": us},
    }


NAMES = list(forgeries(type("Any", (), {"sim": type("Sim", (), {"url": lambda *_: "http://h:1", "port": 1})()})))


@pytest.mark.parametrize("name", NAMES)
def test_forged_data_centre(connected, name):
    held = Held(connected)
    target = connected.consent(connected.begin())
    refuse(connected, edited(target, **forgeries(connected)[name]), 400, "datacenter_mismatch")
    assert attempts(connected)[-1] == ("datacenter_mismatch", True)
    assert failures(connected) == [("error", "datacenter_mismatch")]
    refuse(connected, target, 400, "state_unknown")
    held.still()


def test_a_consistent_lie_reaches_no_stranger(connected):
    """Both parameters name a data centre of the table, but not the code's: asked there, refused there."""
    held = Held(connected)
    target = edited(connected.consent(connected.begin()), **{"location": "jp", "accounts-server": connected.sim.url("", "jp")})
    refuse(connected, target, 422, "token_refused", calls=1)
    assert connected.calls()[-1] == ("token", "jp")
    held.still()


@pytest.mark.parametrize("name", ["code", "state", "location", "accounts-server"])
def test_doubled_parameter(connected, name):
    """Which of the two would count? Refused before the flow is touched."""
    target = connected.consent(connected.begin())
    tables = connected.stack.tables()
    for more in (f"{name}={query_of(target)[name]}", f"{name}=", f"{name}=x", f"{name.replace('o', '%6f')}=x"):
        refuse(connected, f"{target.rstrip('&')}&{more}", 400, "invalid_input", [name])
    assert connected.stack.tables() == tables
    assert connected.callback(target).status == 200


@pytest.mark.parametrize("lack", [{"code": None}, {"code": ""}, {"code": "", "error": ""}], ids=json.dumps)
def test_neither_code_nor_error(connected, lack):
    """The provider's answer says nothing: the flow is over, as after any other answer of its own."""
    held = Held(connected)
    target = connected.consent(connected.begin())
    refuse(connected, edited(target, **lack), 400, "invalid_input", ["code"])
    assert failures(connected) == [("error", "invalid_input")]
    refuse(connected, target, 400, "state_unknown")
    held.still()


def test_unknown_parameters_are_ignored(connected):
    """RFC 6749 4.1.2; and nothing that follows from them."""
    target = connected.consent(connected.begin()).rstrip("&")
    lies = "client_id=x&redirect_uri=http%3A%2F%2Fx.example&token_url=http%3A%2F%2Fx.example&iss=http%3A%2F%2Fx.example&scope=&empty"
    assert connected.callback(f"{target}&{lies}&").json["generation"] == 2
    assert connected.calls()[-3:] == [("token", "us"), ("probe", "us"), ("identity", "us")]


def test_bad_escapes_and_controls_in_a_callback(connected):
    """No provider sends them: refused before the flow is touched."""
    target = connected.consent(connected.begin())
    refuse(connected, target + "x=%zz", 400, "invalid_input", ["x"])
    for name in ("code", "state", "location", "accounts-server", "error"):
        for text in ("a\r\nX: y", "a\x01", "a\x85"):
            assert "X" not in refuse(connected, edited(target, **{name: text}), 400, "invalid_input", [name]).headers
    assert connected.callback(target).status == 200


def test_wrong_code_and_wrong_app(connected):
    held = Held(connected)
    answer = refuse(connected, edited(connected.consent(connected.begin()), code="1000.x"), 422, "token_refused", calls=1)
    assert "invalid_code" in answer.json["detail"]
    redirect = f"{connected.stack.env['VESTAL_URL']}/api/oauth/callback/zoho_crm"
    target = connected.consent(connected.begin())
    connected.sim.client(connected.app_id, client_secret="changed meanwhile", redirect_uris=[redirect])
    answer = refuse(connected, target, 422, "token_refused", calls=1)
    assert "app's credentials" in answer.json["detail"]
    connected.sim.client(connected.app_id, client_secret=connected.app_secret, redirect_uris=[redirect])
    assert [reason for _, reason in failures(connected)] == ["token_refused"] * 2
    held.still()


def test_code_of_another_flow(connected):
    """Injected into our flow, a code obtained in another fails at its PKCE challenge (RFC 9700 4.5)."""
    held = Held(connected)
    theirs, ours = (query_of(connected.consent(connected.begin())) for _ in range(2))
    target = f"/api/oauth/callback/zoho_crm?{urlencode(ours | {'code': theirs['code']})}"
    refuse(connected, target, 422, "token_refused", calls=1)
    held.still()


# --- a provider's bad day

AWAY, REFUSED = (502, "provider_unavailable"), (422, "token_refused")
FAULTS = {  # name: where, what, the answer
    "token, no answer": ("token", {"mode": "drop_before"}, AWAY),
    "token, answer lost": ("token", {"mode": "drop_after"}, AWAY),
    "token, slow": ("token", {"mode": "slow", "interval_ms": 100}, AWAY),
    "token, hangs": ("token", {"mode": "hang"}, AWAY),
    "token, page": ("token", {"mode": "html"}, AWAY),
    "token, page of 500": ("token", {"mode": "html", "status": 500}, AWAY),
    "token, redirect": ("token", {"mode": "redirect", "location": "{eu}/oauth/v2/token"}, AWAY),
    "token, redirect that keeps the method": ("token", {"mode": "redirect", "location": "{eu}/oauth/v2/token", "status": 307}, AWAY),
    "token, huge": ("token", {"mode": "huge"}, AWAY),
    "token, large": ("token", {"mode": "huge", "megabytes": 3}, AWAY),
    "token, broken JSON": ("token", {"mode": "broken_json"}, AWAY),
    "token, success without a token": ("token", {"mode": "success_without", "fields": ["access_token"]}, AWAY),
    "token, token of a wrong type": ("token", {"mode": "override", "fields": {"access_token": 7}}, AWAY),
    "token, token with a line break": ("token", {"mode": "override", "fields": {"access_token": "a\nb"}}, AWAY),
    "token, unknown token type": ("token", {"mode": "override", "fields": {"token_type": "mac"}}, AWAY),
    "token, empty": ("token", {"mode": "empty", "status": 200}, AWAY),
    "token, empty 400": ("token", {"mode": "empty"}, AWAY),
    "token, 500": ("token", {"mode": "status", "status": 500, "body": PLANT}, AWAY),
    "token, 503 with a date": ("token", {"mode": "status", "status": 503, "headers": {"Retry-After": "7"}, "body": PLANT}, AWAY),
    "token, unknown word": ("token", {"mode": "zoho_error", "error": PLANT, "description": PLANT}, AWAY),
    "token, unknown word in 401": ("token", {"mode": "status", "status": 401, "body": {"error": PLANT}}, REFUSED),
    "token, invalid_client": ("token", {"mode": "zoho_error", "error": "invalid_client"}, REFUSED),
    "token, invalid_code": ("token", {"mode": "zoho_error", "error": "invalid_code"}, REFUSED),
    "token, throttled": ("token", {"mode": "zoho_error", "error": "Access Denied", "status": 400, "description": PLANT}, AWAY),
    "probe, no answer": ("probe", {"mode": "drop_before", "times": 0}, AWAY),
    "probe, slow": ("probe", {"mode": "slow", "interval_ms": 100}, AWAY),
    "probe, hangs": ("probe", {"mode": "hang"}, AWAY),
    "probe, page": ("probe", {"mode": "html"}, AWAY),
    "probe, redirect": ("probe", {"mode": "redirect", "location": "{eu}/crm/v8/users?type=CurrentUser"}, AWAY),
    "probe, huge": ("probe", {"mode": "huge"}, AWAY),
    "probe, broken JSON": ("probe", {"mode": "broken_json"}, AWAY),
    "probe, success without users": ("probe", {"mode": "success_without", "fields": ["users"]}, AWAY),
    "probe, 500": ("probe", {"mode": "status", "status": 500, "body": PLANT}, AWAY),
    "probe, throttled": ("probe", {"mode": "zoho_error", "error": "TOO_MANY_REQUESTS", "status": 429, "description": PLANT}, AWAY),
    "probe, INVALID_TOKEN": ("probe", {"mode": "zoho_error", "error": "INVALID_TOKEN", "status": 401, "description": PLANT}, REFUSED),
    "probe, unknown word in 401": ("probe", {"mode": "zoho_error", "error": PLANT, "status": 401, "description": PLANT}, REFUSED),
}


@pytest.mark.parametrize("name", FAULTS)
def test_provider_fails(connected, name):
    place, fault, (status, slug) = FAULTS[name]
    held = Held(connected)
    target = connected.consent(connected.begin())
    location = {"location": fault["location"].format(eu=connected.sim.url("", "eu"))} if "location" in fault else {}
    connected.sim.control("faults", {"at": place} | fault | location)
    sent, begun = len(connected.calls()), time.monotonic()
    answer = connected.callback(target)
    took = time.monotonic() - begun
    assert answer.problem(status, slug) == []
    assert took < 2 * TIMEOUT_S + 1, "the deadline is for the whole answer"
    calls = connected.calls()[sent:]
    if name == "probe, no answer":  # libcurl repeats a GET when a kept connection turns out to be dead
        calls = calls[:1] + sorted(set(calls[1:]))
    assert calls == [("token", "us"), ("probe", "us")][: 1 if place == "token" else 2], "asked once, followed nowhere"
    assert PLANT.lower() not in answer.body.decode().lower()
    assert (int(answer.headers.get("Retry-After", 0)) > 0) == (status == 502)
    assert attempts(connected)[-1] == (slug, True)
    assert failures(connected) == [("error", slug)]
    connected.sim.control("faults", method="DELETE")
    refuse(connected, target, 400, "state_unknown")
    held.still()
    assert connected.connect()["generation"] == 2, "the next flow works, and no generation was spent"


PAGES = [  # what goes wrong, the heading
    ({"at": "token", "mode": "drop_before"}, {}, 502, "The provider could not be asked"),
    ({"at": "probe", "mode": "html"}, {}, 502, "The provider could not be asked"),
    ({"at": "token", "mode": "zoho_error", "error": "invalid_client"}, {}, 422, "The provider refused the code or the token"),
    (None, {"code": None, "error": "access_denied"}, 400, "The authorization was refused"),
    (None, {"state": "x"}, 400, "This authorization is not known, used up or too old"),
    (None, {"location": "xx"}, 400, "The answer names a data centre this provider does not have"),
]


@pytest.mark.parametrize("fault, change, status, heading", PAGES, ids=[row[3] for row in PAGES])
def test_page_of_a_failure(connected, fault, change, status, heading):
    target = edited(connected.consent(connected.begin()), **change)
    if fault:
        connected.sim.control("faults", fault)
    answer = connected.callback(target, accept=BROWSER)
    page = answer.body.decode()
    assert answer.status == status and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"<h1>{heading}</h1>" in page and answer.headers["X-Request-Id"] in page
    assert re.search(r"<p>[^<]{20,}</p>", page) and "<script" not in page
    for value in query_of(target).values():
        assert len(value) < 10 or value not in page


def test_token_of_too_narrow_a_scope_is_kept(connected):
    """The grant is alive; that it may not do everything is a cause, not a refusal."""
    connected.sim.control("faults", {"at": "probe", "mode": "zoho_error", "error": "OAUTH_SCOPE_MISMATCH", "status": 401})
    assert connected.connect()["generation"] == 2
    report = connected.stack.report(connected.id)
    assert (report["status"], report["cause"], report["action"]) == ("healthy", "scope_missing", "ask_tenant")
    assert connected.token().json["access_token"] == connected.issued()[-1]
    connected.connect()
    assert connected.stack.report(connected.id)["cause"] == "none"


LIVES = [  # what the answer says, the seconds it means; 3600 is the definition's word
    ({"expires_in": 1800}, 1800), ({"expires_in": "1800"}, 1800), ({"expires_in": 1800.5}, 1800), ({"expires_in": 3600000}, 3600),
    ({"expires_in": "3600000"}, 3600), ({"expires_in": 3600000, "expires_in_sec": 1800}, 1800), ({"expires_in": 0}, 3600),
    ({"expires_in": -1}, 3600), ({"expires_in": "soon"}, 3600), ({"expires_in": None}, 3600), ({"expires_in": {}}, 3600),
    ({"expires_in": 1e300}, 3600), ({"expires_in": 9223372036854775807}, 3600), (None, 3600), ("ms_form", 3600),
]  # fmt: skip


@pytest.mark.parametrize("fields, life_s", LIVES, ids=[json.dumps(fields) for fields, _ in LIVES])
def test_life_of_a_token(connected, fields, life_s):
    if fields == "ms_form":
        connected.sim.control("settings", {"ms_form": True})
    elif fields is None:
        connected.sim.control("faults", {"at": "token", "mode": "success_without", "fields": ["expires_in"]})
    else:
        connected.sim.control("faults", {"at": "token", "mode": "override", "fields": fields})
    try:
        connected.connect()
    finally:
        connected.sim.control("settings", {"ms_form": False})
    assert life_s - 20 < connected.token().json["expires_in"] <= life_s


@pytest.mark.parametrize("domain", ["http://attacker.example", "{us}.attacker.example", "{us}@attacker.example", 7, "", None])
def test_api_domain_of_a_stranger_is_not_passed_on(connected, domain):
    us = connected.sim.url("")
    domain = domain.format(us=us) if isinstance(domain, str) else domain
    connected.sim.control("faults", {"at": "token", "mode": "override", "fields": {"api_domain": domain}})
    connected.connect()
    assert connected.token().json["api_domain"] == us
    assert connected.calls()[-2:] == [("probe", "us"), ("identity", "us")]


def test_hostile_target_is_not_reflected(stack):
    """The path's provider is a field like others."""
    for provider in ("nope", "<b>", "zoho_crm%0d%0aX:%20y", "..", "%2e%2e"):
        answer = stack.request("GET", f"/api/oauth/callback/{provider}?code=c&state=s", source="127.77.0.1")
        assert answer.problem(400, "invalid_input") == ["provider"]
        assert urlsplit(provider).path not in answer.json["detail"] and "X" not in answer.headers
