"""Does the simulator do what the provider does?"""

import base64
import json
import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from sim_harness import CALLBACK, CHALLENGE, HOSTS, SCOPES, VALUE, VERIFIER

# --- consent and exchange


class Form(HTMLParser):
    """The page as a browser sees it: action, fields, buttons, labelled ids."""

    def __init__(self, page):
        super().__init__()
        self.names, self.buttons, self.labelled, self.ids, self.options = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            assert attributes["method"] == "post"
            self.action = attributes["action"]
        elif tag in ("input", "select"):
            self.names.append(attributes["name"])
            self.ids.append(attributes["id"])
        elif tag == "button":
            self.buttons.append((attributes["name"], attributes["value"]))
        elif tag == "label":
            self.labelled.append(attributes["for"])
        elif tag == "option":
            self.options.append(attributes["value"])


def test_page_by_hand_then_exchange_with_pkce(sim):
    url = sim.authorize_url(code_challenge=CHALLENGE, code_challenge_method="S256")
    target = url.partition(str(sim.port))[2]
    page = sim.ask(target)
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    form = Form(page.body.decode())
    assert form.names == ["user", "datacenter"] and form.labelled == form.ids
    assert form.buttons == [("decision", "accept"), ("decision", "deny")]
    assert "cn" not in form.options and len(form.options) == 9
    choice = {"user": "eve@acme.example", "datacenter": "eu", "decision": "accept"}
    answer = sim.ask(form.action, form=choice)
    location = answer.headers["Location"]
    assert answer.status == 302 and location.startswith(CALLBACK + "?") and location.endswith("&")
    assert f"accounts-server=http%3A%2F%2F127.0.0.2%3A{sim.port}&" in location
    fields = dict(parse_qsl(urlsplit(location).query))
    assert fields["state"] == "a/b+c&=%" and fields["location"] == "eu"

    for verifier in ({}, {"code_verifier": "w" * 50}):
        assert sim.exchange(fields["code"], "eu", **verifier).json == {"error": "invalid_code"}
    answer = sim.exchange(fields["code"], "eu", code_verifier=VERIFIER)
    assert answer.status == 200
    body = answer.json
    assert VALUE.fullmatch(body.pop("access_token")) and VALUE.fullmatch(body.pop("refresh_token"))
    assert body == {
        "scope": SCOPES.replace(",", " "), "api_domain": sim.url("", "eu"),
        "token_type": "Bearer", "expires_in": 3600,
    }  # fmt: skip
    again = sim.exchange(fields["code"], "eu", code_verifier=VERIFIER)
    assert (again.status, again.json) == (200, {"error": "invalid_code"})


def test_refusals_of_the_authorization_request(sim):
    def target(**more):
        return sim.authorize_url(**more).partition(str(sim.port))[2]

    for shown in ({"client_id": "1000.WHO"}, {"redirect_uri": CALLBACK + "/"}):
        answer = sim.ask(target(**shown))
        assert answer.status == 400 and "Location" not in answer.headers
    assert sim.ask(target() + "&state=twice").status == 400
    for error, fault in {
        "invalid_response_type": {"response_type": "token"},
        "invalid_scope": {"scope": SCOPES.replace(",", " ")},
        "invalid_request": {"code_challenge": VERIFIER[:43], "code_challenge_method": "plain"},
    }.items():
        answer = sim.ask(target(**fault))
        fields = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert answer.status == 302 and fields == {"error": [error], "state": ["a/b+c&=%"]}
    denied = sim.consent(decision="deny")
    assert denied == {"error": "access_denied", "state": "a/b+c&=%"}


def test_refresh_token_only_offline_and_only_at_the_first_consent_unless_prompted(sim):
    def refresh_token(**more):
        code = sim.consent(sim.authorize_url(**more))["code"]
        return sim.exchange(code).json.get("refresh_token")

    assert refresh_token(access_type=None) is None
    first = refresh_token(prompt=None)
    assert first and refresh_token(prompt=None) is None
    second = refresh_token(prompt="consent")
    assert second and second != first
    sim.control("revoke", {"user": "admin@acme.example", "client_id": "1000.ACME"})
    assert refresh_token(prompt=None)


def test_codes_end_after_their_minute_and_belong_to_client_and_redirect_uri(sim):
    sim.client("1000.OTHER", redirect_uris=[CALLBACK + "?tenant=1"])
    url = sim.authorize_url(client_id="1000.OTHER", redirect_uri=CALLBACK + "?tenant=1")
    fields = sim.consent(url)
    assert fields["tenant"] == "1"
    assert sim.exchange(fields["code"]).json == {"error": "invalid_code"}
    code = sim.consent()["code"]
    other = sim.exchange(code, redirect_uri=CALLBACK + "x")
    assert other.json == {"error": "invalid_redirect_uri"}
    sim.control("settings", {"now_offset_s": 50})
    assert "access_token" in sim.exchange(code).json
    code = sim.consent()["code"]
    sim.control("settings", {"now_offset_s": 120})
    assert sim.exchange(code).json == {"error": "invalid_code"}
    code = sim.consent()["code"]
    sim.control("revoke", {"all": True})
    assert sim.exchange(code).json == {"error": "invalid_code"}
    states = [row["state"] for row in sim.ledger()["codes"]]
    assert states == ["expired", "used", "expired", "revoked"]


# --- token endpoint


def test_client_and_data_centre_refusals(sim):
    sim.client("1000.HOME", multi_dc=False, datacenter="in")
    sim.client("1000.SPLIT", secrets={"eu": "eu-secret"})
    sim.client("1000.CHINA", datacenter="cn")
    [grant] = sim.issue(datacenter="eu")
    assert "access_token" in sim.refresh(grant["refresh_token"], "eu").json
    assert sim.refresh(grant["refresh_token"], "us").json == {"error": "invalid_code"}

    def error(datacenter="us", **more):
        answer = sim.refresh(grant["refresh_token"], datacenter, **more)
        assert answer.status == 200
        return answer.json["error"]

    assert error(client_id="1000.WHO") == "invalid_client"
    assert error(client_secret="no") == "invalid_client_secret"
    assert error(client_id="1000.HOME") == "invalid_client"
    assert error("in", client_id="1000.HOME") == "invalid_code"
    assert error("eu", client_id="1000.SPLIT") == "invalid_client"
    assert error("eu", client_id="1000.SPLIT", client_secret="eu-secret") == "invalid_code"
    assert error(client_id="1000.CHINA") == "invalid_client"
    assert error("cn") == "invalid_client"
    code = sim.consent(datacenter="eu")["code"]
    assert sim.exchange(code, "us").json == {"error": "invalid_code"}
    to_china = {"authorize_url": sim.authorize_url(), "datacenter": "cn"}
    refused = sim.control("consent", to_china, expect=400)
    assert "data centre" in refused["error"]


def test_what_is_no_token_request_gets_a_page(sim):
    [grant] = sim.issue()
    query = urlencode({"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]})
    for answer in (
        sim.ask("/oauth/v2/token"),
        sim.token(),
        sim.ask(f"/oauth/v2/token?{query}", form={}),
        sim.ask("/oauth/v2/token", body=query.encode(), Content_Type="application/json"),
    ):
        assert answer.status == 400 and answer.headers["Content-Type"].startswith("text/html")


def test_refresh_answers_without_refresh_token_and_in_milliseconds_when_asked(sim):
    [grant] = sim.issue()
    body = sim.refresh(grant["refresh_token"]).json
    assert "refresh_token" not in body and body["expires_in"] == 3600
    assert sim.probe(body["access_token"]).status == 200
    sim.control("settings", {"ms_form": True, "token_ttl_s": 60})
    body = sim.refresh(grant["refresh_token"]).json
    assert (body["expires_in"], body["expires_in_sec"]) == (60000, 60)
    sim.control("settings", {"now_offset_s": 61})
    assert sim.probe(body["access_token"]).json["code"] == "INVALID_TOKEN"
    assert sim.state(body["access_token"]) == "expired"


def test_eleventh_mint_is_throttled_until_the_window_ends(sim):
    [grant, other] = sim.issue(user="u{n}@acme.example", count=2)
    for _ in range(10):
        assert "access_token" in sim.refresh(grant["refresh_token"]).json
    for _ in range(2):
        answer = sim.refresh(grant["refresh_token"])
        assert (answer.status, answer.json) == (400, {
            "error": "Access Denied",
            "error_description": "You have made too many requests continuously. "
            "Please try again after some time.",
            "status": "failure",
        })  # fmt: skip
    assert "access_token" in sim.refresh(other["refresh_token"]).json
    sim.control("settings", {"now_offset_s": 590})
    assert sim.refresh(grant["refresh_token"]).status == 400
    sim.control("settings", {"now_offset_s": 601})
    assert "access_token" in sim.refresh(grant["refresh_token"]).json
    sim.control("settings", {"mint_limit": 0})
    for _ in range(12):
        assert "access_token" in sim.refresh(grant["refresh_token"]).json


def test_twenty_first_refresh_token_evicts_the_oldest(sim):
    grants = sim.issue(count=20)
    [elsewhere] = sim.issue(user="bob@acme.example")
    assert sim.state(grants[0]["refresh_token"]) == "live"
    fields = sim.consent()
    newest = sim.exchange(fields["code"]).json
    assert sim.state(grants[0]["refresh_token"]) == "evicted"
    assert sim.refresh(grants[0]["refresh_token"]).json == {"error": "invalid_code"}
    assert sim.probe(grants[0]["access_token"]).json["code"] == "INVALID_TOKEN"
    for value in (grants[1]["refresh_token"], elsewhere["refresh_token"], newest["refresh_token"]):
        assert "access_token" in sim.refresh(value).json


def test_sixteenth_access_token_invalidates_the_oldest(sim):
    sim.control("settings", {"mint_limit": 0})
    [grant] = sim.issue()
    minted = [sim.refresh(grant["refresh_token"]).json["access_token"] for _ in range(14)]
    assert sim.probe(grant["access_token"]).status == 200
    sim.refresh(grant["refresh_token"])
    assert sim.probe(grant["access_token"]).status == 401
    assert sim.state(grant["access_token"]) == "evicted" and sim.state(minted[0]) == "live"


# --- rotation


def test_grace_keeps_the_old_refresh_token_for_a_while(sim):
    sim.control("settings", {"rotation": "grace", "grace_s": 30})
    [grant] = sim.issue()
    second = sim.refresh(grant["refresh_token"]).json["refresh_token"]
    third = sim.refresh(grant["refresh_token"]).json["refresh_token"]
    assert len({grant["refresh_token"], second, third}) == 3
    sim.control("settings", {"now_offset_s": 31})
    assert sim.refresh(grant["refresh_token"]).json == {"error": "invalid_code"}
    assert "access_token" in sim.refresh(third).json
    assert sim.state(grant["refresh_token"]) == "rotated"


def test_strict_reuse_kills_the_whole_grant(sim):
    sim.control("settings", {"rotation": "strict"})
    [grant] = sim.issue()
    body = sim.refresh(grant["refresh_token"]).json
    assert sim.probe(body["access_token"]).status == 200
    assert sim.refresh(grant["refresh_token"]).json == {"error": "invalid_code"}
    assert sim.refresh(body["refresh_token"]).json == {"error": "invalid_code"}
    assert sim.probe(body["access_token"]).status == 401
    assert sim.state(body["refresh_token"]) == "revoked"


# --- settings and record of one client


def test_each_client_may_have_settings_of_its_own(sim):
    for name, own in {"A": {"rotation": "strict"}, "B": {"rotation": "grace", "token_ttl_s": 60}}.items():
        sim.client(f"1000.{name}", client_secret="s3")
        settings = sim.control("settings", {"client_id": f"1000.{name}"} | own)
        assert settings["rotation"] == own["rotation"] and settings["mint_limit"] == 10
    assert sim.control("settings", method="GET")["rotation"] == "never", "everybody else's"

    def renewals(client_id):
        [grant] = sim.issue(client_id=client_id)
        return [sim.refresh(grant["refresh_token"], client_id=client_id).json for _ in range(2)]

    strict, graceful, others = renewals("1000.A"), renewals("1000.B"), renewals("1000.ACME")
    assert "refresh_token" in strict[0] and strict[1] == {"error": "invalid_code"}
    assert all("refresh_token" in answer and answer["expires_in"] == 60 for answer in graceful)
    assert all("access_token" in answer and "refresh_token" not in answer for answer in others)

    sim.control("settings", {"client_id": "1000.A", "now_offset_s": 1}, expect=400)
    sim.control("settings", {"client_id": "1000.A", "mint_limit": 1})
    assert renewals("1000.A")[1]["error"] == "invalid_code" and "access_token" in renewals("1000.B")[1]
    sim.control("reset")
    sim.client("1000.A", client_secret="s3")
    assert "refresh_token" not in renewals("1000.A")[1]


def test_own_quota_of_a_client(sim):
    sim.client("1000.A", client_secret="s3")
    sim.control("settings", {"client_id": "1000.A", "mint_limit": 1})
    for client_id, second in (("1000.A", 400), ("1000.ACME", 200)):
        [grant] = sim.issue(client_id=client_id)
        statuses = [sim.refresh(grant["refresh_token"], client_id=client_id).status for _ in range(2)]
        assert statuses == [200, second]


def test_the_ledger_of_one_client(sim):
    sim.client("1000.A", client_secret="s3")
    [mine], [others] = sim.issue(client_id="1000.A"), sim.issue()
    minted = sim.refresh(mine["refresh_token"], client_id="1000.A").json["access_token"]
    sim.refresh(others["refresh_token"])
    sim.probe(minted)
    ledger = sim.ledger("1000.A")
    assert {row["client_id"] for row in ledger["tokens"] + ledger["requests"]} == {"1000.A"}
    [token] = [row for row in ledger["tokens"] if row["value"] == minted]
    assert [row["kind"] for row in ledger["requests"]] == ["token", "probe"]
    assert ledger["requests"][0]["minted"] == token["id"]
    assert len(sim.ledger()["tokens"]) == 2 * len(ledger["tokens"]), "others have as many"
    sim.control("ledger?client=1000.A", method="GET", expect=400)


def test_access_tokens_of_any_size(sim):
    sim.control("settings", {"client_id": "1000.ACME", "access_bytes": 8191})
    [grant] = sim.issue()
    minted = sim.refresh(grant["refresh_token"]).json["access_token"]
    assert len(minted) == 8191 and sim.probe(minted).status == 200
    assert len(grant["refresh_token"]) == 70


# --- revocation


def test_revoking_a_refresh_token_kills_its_access_tokens(sim):
    [grant] = sim.issue()
    minted = sim.refresh(grant["refresh_token"]).json["access_token"]
    assert sim.revoke(grant["refresh_token"], "eu").status == 400
    assert sim.revoke(minted).json == {"status": "success"}
    assert sim.probe(grant["access_token"]).status == 200 and sim.probe(minted).status == 401
    answer = sim.revoke(grant["refresh_token"])
    assert (answer.status, answer.json) == (200, {"status": "success"})
    assert sim.probe(grant["access_token"]).status == 401
    assert sim.refresh(grant["refresh_token"]).json == {"error": "invalid_code"}
    for value in (grant["refresh_token"], "1000.x.y"):
        answer = sim.revoke(value)
        assert answer.status == 400 and answer.body.startswith(b"<!DOCTYPE html>")
    assert sim.ask("/oauth/v2/token/revoke").status == 400


def test_newer_revoke_wants_basic_and_the_right_type(sim):
    [grant] = sim.issue()

    def revoke(kind, secret="s3"):
        word = base64.b64encode(f"1000.ACME:{secret}".encode()).decode()
        form = {"token": grant["refresh_token"], "token_type": kind}
        return sim.ask("/oauth/v2/revoke/token", form=form, Authorization=f"Basic {word}")

    assert revoke("access_token").status == 400
    assert revoke("refresh_token", "no").json == {"error": "invalid_client_secret"}
    assert sim.state(grant["refresh_token"]) == "live"
    assert revoke("refresh_token").json == {"status": "success"}
    assert sim.state(grant["refresh_token"]) == "revoked"


def test_control_withdraws_and_expires_only_what_is_selected(sim):
    ann, bob = sim.issue(user="{n}@acme.example", count=2)
    assert sim.control("expire", {"user": "0@acme.example"}) == {"tokens": 1}
    assert sim.probe(ann["access_token"]).status == 401
    assert sim.probe(bob["access_token"]).status == 200
    assert "access_token" in sim.refresh(ann["refresh_token"]).json
    assert sim.control("revoke", {"refresh_token": bob["refresh_token"]}) == {"grants": 1}
    assert sim.refresh(bob["refresh_token"]).json == {"error": "invalid_code"}
    assert "access_token" in sim.refresh(ann["refresh_token"]).json
    assert sim.control("revoke", {"all": True}) == {"grants": 1}
    assert sim.refresh(ann["refresh_token"]).json == {"error": "invalid_code"}
    sim.control("revoke", {}, expect=400)


# --- probes


@pytest.mark.parametrize(
    "path, scope, wrong_scope, key",
    [
        ("/crm/v8/users?type=CurrentUser", "ZohoCRM.users.READ", "ZohoCRM.modules.ALL", "users"),
        ("/crm/v8/org", "ZohoCRM.org.ALL", "ZohoCRM.modules.ALL", "org"),
        ("/oauth/user/info", "AaaServer.profile.READ", "ZohoCRM.users.READ", "ZUID"),
        ("/api/v1/calendars", "ZohoCalendar.calendar.ALL", "ZohoCalendar.event.ALL", "calendars"),
        ("/api/v1/calendars/default", "ZohoCalendar.calendar.ALL", "ZohoCRM.org.READ", "calendars"),
        ("/api/v1/calendars/primary", "ZohoCalendar.calendar.READ", "AaaServer.x.ALL", "calendars"),
    ],
)
def test_probe_answers(sim, path, scope, wrong_scope, key):
    def refusal(answer):
        body = answer.json
        return answer.status, body["error"][0]["error_code"] if "error" in body else body["code"]

    calendar = path.startswith("/api/")
    [good], [narrow] = sim.issue(scope=scope), sim.issue(scope=wrong_scope)
    answer = sim.probe(good["access_token"], path)
    assert answer.status == 200 and answer.json[key]
    bearer = sim.ask(path, Authorization=f"Bearer {good['access_token']}")
    assert bearer.json == answer.json
    missing = (400, "INVALID_TICKET") if calendar else (401, "AUTHENTICATION_FAILURE")
    assert refusal(sim.ask(path)) == missing
    assert refusal(sim.ask(path, Authorization=f"Token {good['access_token']}")) == missing
    dead = (401, "INVALID_OAUTHTOKEN" if calendar else "INVALID_TOKEN")
    assert refusal(sim.probe("1000.x.y", path)) == dead
    assert refusal(sim.probe(good["access_token"], path, "eu")) == dead
    assert refusal(sim.probe(good["refresh_token"], path)) == dead
    mismatch = (401, "INVALID_OAUTHSCOPE" if calendar else "OAUTH_SCOPE_MISMATCH")
    assert refusal(sim.probe(narrow["access_token"], path)) == mismatch


def test_exact_bodies_and_identity(sim):
    assert sim.ask("/crm/v8/org").json == {
        "code": "AUTHENTICATION_FAILURE", "details": {}, "message": "Authentication failed"
    }  # fmt: skip
    assert sim.probe("x").json == {
        "code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"
    }  # fmt: skip
    assert sim.probe("x", "/crm/v7/org").json["code"] == "INVALID_URL_PATTERN"
    grants = [*sim.issue(count=2), *sim.issue(user="b@acme.example"), *sim.issue(datacenter="eu")]
    paths = [(g["access_token"], "/oauth/user/info", g["datacenter"]) for g in grants]
    zuids = [sim.probe(*path).json["ZUID"] for path in paths]
    assert zuids[0] == zuids[1] and len(set(zuids)) == 3
    locations = sim.ask("/oauth/serverinfo").json["locations"]
    assert locations == {dc: sim.url("", dc) for dc in HOSTS if dc != "cn"}


# --- the ledger's record


def test_requests_and_uses_are_recorded(sim):
    [grant] = sim.issue()
    access = sim.refresh(grant["refresh_token"]).json["access_token"]
    sim.probe(access)
    sim.revoke("1000.no.such")
    ledger = sim.ledger()
    rows = [(r["kind"], r["outcome"], r["status"], r["answered"]) for r in ledger["requests"]]
    assert rows == [
        ("token", "ok", 200, True),
        ("probe", "ok", 200, True),
        ("revoke", "invalid_token", 400, True),
    ]  # fmt: skip
    refresh_id = grant["refresh_token_id"]
    assert [r["refresh_token"] for r in ledger["requests"]] == [refresh_id, refresh_id, None]
    by_value = {row["value"]: row for row in ledger["tokens"]}
    used = by_value[grant["refresh_token"]]
    assert (used["uses"], used["mints"]) == (1, 2)
    assert by_value[access]["uses"] == 1 and by_value[access]["parent"] == refresh_id


def test_journal_holds_what_the_ledger_tells(sim):
    [grant] = sim.issue()
    sim.refresh(grant["refresh_token"])
    sim.revoke(grant["refresh_token"])
    sim.ledger()  # answered only after the journal's last line is written
    journal = sim.folder / "d" / "ledger.jsonl"
    assert journal.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    last = max(n for n, row in enumerate(rows) if row["event"] == "reset")
    events = [row["event"] for row in rows[last:]]
    wanted = ["reset", "client", "token", "token", "token", "request", "state", "state", "state"]
    assert events == [*wanted, "request"]
    assert rows[last + 2]["token"]["value"] == grant["refresh_token"]
