"""The main job against a certified OpenID provider that rotates refresh tokens, and what it may do wrong."""

import json
import re
import secrets
import shlex
from urllib.parse import parse_qs, urlencode, urlsplit

import leaks
import pytest
from harness import MARKER, TREE, Stack, Tenant, down, free_port, query_of, up
from oidc.oidc import OidcProvider, install

RESERVED = " !\"#$%&'()*+,/:;<=>?@[]^`{|}~"  # of a secret that client_auth "basic" has to encode

# What differs from the first; a definition each, all of the same app at the same provider.
DEFINITIONS = {
    "oidc": {},
    "oidc_without_issuer": {"issuer": None},
    "oidc_optional_iss": {"require_iss": False},
    "oidc_without_pkce": {"pkce": False},
    "oidc_raw": {"client_auth": "basic_raw"},
    "oidc_unproved": {"introspect_url": None},
}


def definition(name, issuer, changes):
    whole = {
        "name": name, "title": f"OpenID ({name})", "allow_loopback_http": True, "issuer": issuer,
        "authorize_url": f"{issuer}/auth", "token_url": f"{issuer}/token",
        "revoke_url": f"{issuer}/token/revocation", "introspect_url": f"{issuer}/token/introspection",
        "scopes": ["openid", "mail"], "client_auth": "basic",
        "rotation": "always", "access_ttl_s": 3600, "renew_before_s": 600,
    } | changes  # fmt: skip
    return {key: value for key, value in whole.items() if value is not None}


GUIDE = (TREE / "fcgi/oauth/providers/README.md").read_text()
GUIDED = "example"  # the provider of the guide


def guide(language):
    """The guide's only block in that language."""
    (block,) = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", GUIDE, re.M | re.S)
    return block[1].replace(f"\n{block[0]}", "\n").removeprefix(block[0])


def guided_definition(issuer):
    """The guide's own text, at this provider instead of the one it speaks of."""
    return guide("json").replace("https://id.example.org", issuer).replace("{\n", '{\n  "allow_loopback_http": true,\n', 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The provider, and a stack whose definitions name it."""
    folder, port = tmp_path_factory.mktemp("oidc"), free_port()
    redirects = {name: f"http://localhost:{port}/api/oauth/callback/{name}" for name in [*DEFINITIONS, GUIDED]}
    secret = f"{MARKER}{RESERVED}{secrets.token_hex(8)}"
    oidc = OidcProvider(install(TREE / "build/oidc"), folder, free_port(), redirects.values(), secret)
    definitions = folder / "definitions"
    definitions.mkdir()
    for name, changes in DEFINITIONS.items():
        (definitions / f"{name}.json").write_text(json.dumps(definition(name, oidc.issuer, changes)))
    (definitions / f"{GUIDED}.json").write_text(guided_definition(oidc.issuer))
    try:
        up(folder / "stack", "--no-demo", "--port", str(port), "--workers", "2", "--providers", str(definitions),
           "--set", "rate_per_key=0", "--set", "rate_per_address=0", "--set", "provider_timeout_s=2", "--set", "lease_s=10")  # fmt: skip
        stack = Stack(folder / "stack")
        for name in DEFINITIONS:
            redirect = redirects[name]
            stack.ctl("app", "set", name, "--client-id", oidc.client_id, "--client-secret-file", "-",
                      "--redirect-uri", redirect, stdin=secret + "\n")  # fmt: skip
        yield stack, oidc
        down(folder / "stack", "--remove")
    finally:
        oidc.stop()


class OidcTenant(Tenant):
    """A client of one test's own, and a user of the same name at the provider."""

    def __init__(self, place, provider="oidc"):
        self.stack, self.oidc = place
        self.provider, self.id = provider, f"o-{secrets.token_hex(6)}"
        self.user = self.id
        self.stack.ctl("client", "add", self.id)

    def consent(self, authorization_url):
        return self._target(self.oidc.consent(authorization_url, self.user))

    def deny(self, authorization_url):
        return self._target(self.oidc.deny(authorization_url))

    def _target(self, url):
        assert url.startswith(f"{self.stack.env['VESTAL_URL']}/api/oauth/callback/{self.provider}?"), url
        return url.removeprefix(self.stack.env["VESTAL_URL"])

    def emergency(self):
        answer = self.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": self.id, "provider": self.provider})
        assert answer.status == 200, answer
        return answer.json

    def issued(self, kind):
        return self.oidc.tokens(kind, self.user)

    def health(self):
        return self.stack.report(self.id, self.provider)

    def events(self, action):
        return self.stack.audit(client_id=self.id, action=action)

    def unchanged(self, generation=1):
        """The first token still stands and is served, as after every failure."""
        report, token = self.health(), self.token()
        assert (report["status"], report["generation"]) == ("healthy", generation), report
        assert report["stores"] == {"database": generation, "file": generation, "environment": generation}
        assert token.status == 200 and token.json["access_token"] == self.issued("AccessToken")[generation - 1]["value"]

    def ended(self, target, reason, outcome="error"):
        """That callback's flow is over: its one event says why, and its state is used up."""
        event = self.events("authorize.failed")[-1]
        assert (event["reason"], event["outcome"], event["actor_auth"]) == (reason, outcome, "state"), event
        asked = self.oidc.asked()
        self.callback(target).problem(400, "state_unknown")
        assert self.oidc.asked() == asked


@pytest.fixture
def tenant(place):
    yield OidcTenant(place)
    place[1].clear_faults()


@pytest.fixture
def connected(tenant):
    tenant.connect()
    return tenant


def with_iss(target, iss):
    """The callback with another iss, or, None, without."""
    query = query_of(target) | {"iss": iss}
    return f"{urlsplit(target).path}?{urlencode({name: value for name, value in query.items() if value is not None})}"


# --- the main job


def test_main_job(tenant):
    proofs = tenant.oidc.asked("/token/introspection")
    url = tenant.begin()
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["code_challenge"][0]) == 43
    assert asked["scope"] == ["openid mail"] and asked["response_type"] == ["code"]

    answer = tenant.callback(tenant.consent(url))
    assert answer.status == 200, answer
    assert answer.json == {
        "clientId": tenant.id, "provider": "oidc", "status": "healthy", "generation": 1,
        "persisted": {"database": True, "file": True, "environment": True},
    }  # fmt: skip
    assert tenant.oidc.asked("/token/introspection") == proofs + 1, "the token was not proved"

    report = tenant.health()
    assert (report["status"], report["cause"], report["generation"]) == ("healthy", "none", 1), report
    token = tenant.token().json
    (access,) = tenant.issued("AccessToken")
    assert access["alive"] and token["access_token"] == access["value"]
    assert token["authorization_scheme"] == "Bearer" and token["generation"] == 1 and 3500 < token["expires_in"] <= 3600
    (refresh,) = tenant.issued("RefreshToken")
    assert refresh["alive"] and not refresh["consumed"], "the refresh token must not be used up"


def test_the_provider_rotates(tenant):
    """Guards the fixture: a refresh token is good once, and trying it again ends the grant."""
    tenant.connect()
    (first,) = tenant.issued("RefreshToken")
    assert tenant.oidc.refresh(first["value"]) == 200
    assert tenant.oidc.refresh(first["value"]) == 400
    assert [row["alive"] for row in tenant.issued("RefreshToken")] == [False, False]


def test_emergency_while_the_old_token_serves(connected):
    connected.oidc.withdraw()
    begun = connected.emergency()
    connected.unchanged()
    answer = connected.callback(connected.consent(begun["auth_url"]))
    assert answer.status == 200 and answer.json["generation"] == 2, answer

    connected.unchanged(generation=2)
    assert connected.issued("AccessToken")[1]["alive"]
    assert not connected.issued("RefreshToken")[1]["consumed"]
    ((state, seconds),) = connected.stack.sql(
        "select state, extract(epoch from time_to_recover) from vestal.v_incident_ttr where id = %s", begun["incidentId"]
    )
    assert state == "resolved" and 0 <= seconds < 60


def test_lost_then_recovered(connected):
    removed = connected.stack.api("POST", f"/api/oauth/reauthorize/{connected.id}", {"provider": "oidc"})
    assert removed.status == 200 and connected.health()["status"] == "missing"
    connected.token().problem(409, "reauthorization_required")
    begun = connected.emergency()
    assert begun["incidentId"] == removed.json["incidentId"], "one incident, from the loss to the recovery"
    answer = connected.callback(connected.consent(begun["auth_url"]))
    assert (answer.json["generation"], answer.json["status"]) == (2, "healthy")
    connected.unchanged(generation=2)


def test_a_second_consent_replaces_the_token(connected):
    connected.connect()
    connected.unchanged(generation=2)


def test_page_for_a_browser(tenant):
    answer = tenant.callback(tenant.consent(tenant.begin()), accept="text/html")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/html")
    assert tenant.id.encode() in answer.body
    assert not any(row["value"].encode() in answer.body for row in tenant.oidc.ledger()["tokens"])


def test_without_any_proof_the_exchange_counts(place):
    tenant = OidcTenant(place, "oidc_unproved")
    proofs = tenant.oidc.asked("/token/introspection")
    assert tenant.connect()["status"] == "healthy"
    assert tenant.oidc.asked("/token/introspection") == proofs


# --- the guide "your provider in ten minutes"


def test_the_guide_is_good_as_it_stands(place, tmp_path):
    (tmp_path / "example.json").write_text(guide("json"))
    done = place[0].ctl("provider", "check", str(tmp_path / "example.json"))
    assert done.stdout == f"{tmp_path}/example.json: good\n"


def test_the_guide_leads_to_a_token(place, tmp_path):
    """Its definition and its commands, in their order, as they are written."""
    stack, oidc = place
    (tmp_path / "example.json").write_text(guided_definition(oidc.issuer))
    commands = [shlex.split(line) for line in guide("sh").splitlines()]
    assert [command[:2] for command in commands] == [
        ["vestalctl", "provider"], ["vestalctl", "app"], ["vestalctl", "client"], ["vestalctl", "connect"]]  # fmt: skip
    tenant = OidcTenant(place, GUIDED)
    for command in commands:
        words = [word.replace("$VESTAL_URL", stack.env["VESTAL_URL"]).replace("example.json", str(tmp_path / "example.json"))
                 for word in command[1:]]  # fmt: skip
        stack.ctl(*words, stdin=oidc.client_secret + "\n")
        tenant.id = "customer1"
    assert tenant.connect()["status"] == "healthy"
    assert tenant.token().json["access_token"] == tenant.issued("AccessToken")[-1]["value"]


# --- who answers (RFC 9207)


@pytest.mark.parametrize("iss", [None, "", "http://127.0.0.1:1", "https://attacker.example", "+/", "+?x", "UPPER"])
@pytest.mark.parametrize("decide", ["consent", "deny"])
def test_another_issuer(connected, decide, iss):
    good = getattr(connected, decide)(connected.begin())
    issuer = connected.oidc.issuer
    wrong = {"+/": f"{issuer}/", "+?x": f"{issuer}?x", "UPPER": issuer.replace("http", "HTTP")}.get(iss, iss)
    asked = connected.oidc.asked()
    answer = connected.callback(with_iss(good, wrong))
    answer.problem(400, "issuer_mismatch")
    assert b"attacker" not in answer.body
    assert connected.oidc.asked() == asked, "a code went to the provider"
    connected.unchanged()
    connected.ended(good, "issuer_mismatch")


@pytest.mark.parametrize("iss", [None, "https://attacker.example"])
def test_without_issuer_iss_is_ignored(place, iss):
    tenant = OidcTenant(place, "oidc_without_issuer")
    answer = tenant.callback(with_iss(tenant.consent(tenant.begin()), iss))
    assert answer.status == 200 and answer.json["status"] == "healthy", answer


def test_optional_iss(place):
    tenant = OidcTenant(place, "oidc_optional_iss")
    tenant.callback(with_iss(tenant.consent(tenant.begin()), "https://attacker.example")).problem(400, "issuer_mismatch")
    answer = tenant.callback(with_iss(tenant.consent(tenant.begin()), None))
    assert answer.status == 200 and answer.json["generation"] == 1, answer
    assert tenant.connect()["generation"] == 2


# --- who refuses


def test_denied_consent(connected):
    target = connected.deny(connected.begin())
    asked = connected.oidc.asked()
    answer = connected.callback(target)
    answer.problem(400, "authorization_denied")
    assert query_of(target)["error_description"].encode() not in answer.body, "the provider's words"
    assert connected.oidc.asked() == asked
    connected.unchanged()
    connected.ended(target, "authorization_denied", outcome="denied")


def test_pkce_is_required_there(place):
    """The provider takes no flow without a challenge: that the others succeed proves ours."""
    tenant = OidcTenant(place, "oidc_without_pkce")
    url = tenant.begin()
    assert "code_challenge" not in url
    target = tenant.consent(url)
    assert query_of(target)["error"] == "invalid_request"
    tenant.callback(target).problem(400, "authorization_denied")
    assert tenant.health()["status"] == "missing"


def test_secret_sent_raw_is_refused(place):
    """The same secret and provider, only not encoded: that "basic" works is not by chance."""
    tenant = OidcTenant(place, "oidc_raw")
    target = tenant.consent(tenant.begin())
    answer = tenant.callback(target)
    answer.problem(422, "token_refused")
    assert "credentials" in answer.json["detail"] and MARKER.encode() not in answer.body
    assert tenant.health()["status"] == "missing"
    tenant.ended(target, "token_refused")


def test_replayed_callback(connected):
    target = connected.consent(connected.begin())
    assert connected.callback(target).status == 200
    asked = connected.oidc.asked()
    for _ in range(2):
        connected.callback(target).problem(400, "state_unknown")
    assert connected.oidc.asked() == asked
    connected.unchanged(generation=2)


def test_replayed_code(connected):
    """Somebody puts a used code into a flow of his own."""
    used = connected.consent(connected.begin())
    assert connected.callback(used).status == 200
    state = parse_qs(urlsplit(connected.begin()).query)["state"][0]
    target = f"{urlsplit(used).path}?{urlencode(query_of(used) | {'state': state})}"
    connected.callback(target).problem(422, "token_refused")
    connected.unchanged(generation=2)
    connected.ended(target, "token_refused")


def test_code_of_another_flow(connected):
    """A fresh code, but its verifier belongs to the other state: code injection."""
    first, second = connected.begin(), connected.begin()
    code = query_of(connected.consent(first))
    target = connected.consent(second)
    mixed = f"{urlsplit(target).path}?{urlencode(query_of(target) | {'code': code['code']})}"
    connected.callback(mixed).problem(422, "token_refused")
    connected.unchanged()


def test_consent_withdrawn_before_the_exchange(connected):
    target = connected.consent(connected.begin())
    connected.oidc.withdraw()
    connected.callback(target).problem(422, "token_refused")
    connected.unchanged()
    connected.ended(target, "token_refused")


# --- what breaks

AWAY = (502, "provider_unavailable")
REFUSED = (422, "token_refused")
JSON = {"content-type": "application/json"}
FAULTS = {
    "503": ({"mode": "status", "status": 503, "headers": {"retry-after": "7"}}, AWAY),
    "500 in HTML": ({"mode": "status", "status": 500, "body": "<h1>Oops</h1>", "headers": {"content-type": "text/html"}}, AWAY),
    "200 without a token": ({"mode": "status", "status": 200, "body": "{}", "headers": JSON}, AWAY),
    "200 cut short": ({"mode": "status", "status": 200, "body": '{"access_token":"x', "headers": JSON}, AWAY),
    "redirect": ({"mode": "status", "status": 307, "headers": {"location": "/token"}}, AWAY),
    "400 invalid_grant": ({"mode": "status", "status": 400, "body": '{"error":"invalid_grant"}', "headers": JSON}, REFUSED),
    "401 invalid_client": ({"mode": "status", "status": 401, "body": '{"error":"invalid_client"}', "headers": JSON}, REFUSED),
    "429": ({"mode": "status", "status": 429, "headers": {"retry-after": "30"}}, AWAY),
    "dropped before": ({"mode": "drop_before"}, AWAY),
    "dropped after": ({"mode": "drop_after"}, AWAY),
    "proof: 500": ({"mode": "status", "status": 500, "path": "/token/introspection"}, AWAY),
    "proof: dropped": ({"mode": "drop_after", "path": "/token/introspection"}, AWAY),
    "proof: not active": ({"mode": "status", "status": 200, "body": '{"active":false}', "headers": JSON, "path": "/token/introspection"}, REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_fault_at_the_provider(connected, name):
    fault, (status, slug) = FAULTS[name]
    target = connected.consent(connected.begin())
    connected.oidc.fault(**fault)
    asked = connected.oidc.asked()
    answer = connected.callback(target)
    answer.problem(status, slug)
    assert b"Oops" not in answer.body and connected.oidc.asked() == asked + 1, "asked more or less than once"
    connected.unchanged()
    connected.ended(target, slug)

    connected.oidc.clear_faults()
    assert connected.connect()["generation"] == 2, "a new flow makes good"
    newest = connected.issued("AccessToken")[-1]
    assert newest["alive"] and connected.token().json["access_token"] == newest["value"]


# --- tokens that an administrator brings, and had before


def override(tenant, **body):
    body = {"clientId": tenant.id, "provider": tenant.provider, "reason": "moved here"} | body
    return tenant.stack.api("POST", "/api/zoho/manual-token-update", body)


def refused(tenant, status, slug, words, **body):
    before = tenant.stack.tables()
    answer = override(tenant, **body)
    answer.problem(status, slug)
    assert tenant.stack.tables() == before and words in answer.json["detail"], answer


def another_grant(place, provider="oidc"):
    """Tokens that the provider gave to somebody else: (access, refresh)."""
    other = OidcTenant(place, provider)
    other.connect()
    return other.issued("AccessToken")[0]["value"], other.issued("RefreshToken")[0]["value"]


def test_override_keeps_what_is_handed_back(place, connected):
    _, refresh = another_grant(place)
    answer = override(connected, refresh_token=refresh)
    assert answer.status == 200 and answer.json["generation"] == 2, answer
    (spent,) = [row for row in connected.oidc.ledger()["tokens"] if row["value"] == refresh]
    assert spent["consumed"]
    renewed = connected.stack.api("POST", f"/api/oauth/refresh/{connected.id}", {"provider": "oidc"})
    assert renewed.status == 200 and renewed.json["generation"] == 3, "the refresh token that came back was not kept"


def test_override_with_an_access_token(place, connected):
    access, refresh = another_grant(place)
    refused(connected, 422, "cannot_try", "replaces a refresh token", refresh_token=refresh, dryRun=True)
    refused(connected, 422, "token_refused", "is an access token", refresh_token=access)
    refused(connected, 422, "token_refused", "does not accept the access token", access_token=MARKER)
    answer = override(connected, access_token=access, expires_in=900)
    assert answer.status == 200 and connected.health()["nextRefreshAt"] is None, answer
    assert connected.token().json["access_token"] == access


def test_an_access_token_that_nothing_can_prove(place):
    tenant = OidcTenant(place, "oidc_unproved")
    tenant.connect()
    access, refresh = another_grant(place, "oidc_unproved")
    refused(tenant, 422, "cannot_prove", "give the refresh token", access_token=access)
    assert override(tenant, access_token=access, refresh_token=refresh).json["generation"] == 2


def test_a_grant_code_is_no_refresh_token(connected):
    code = query_of(connected.consent(connected.begin()))["code"]
    tokens = len(connected.issued("RefreshToken"))
    refused(connected, 422, "token_refused", "Nothing was changed", refresh_token=code)
    assert len(connected.issued("RefreshToken")) == tokens, "finding out made a grant"
    connected.unchanged()


def test_undo_where_refresh_tokens_are_replaced(place, connected):
    first = connected.issued("RefreshToken")[0]
    assert override(connected, refresh_token=another_grant(place)[1]).status == 200
    body = {"provider": "oidc", "reason": "back"}
    answer = connected.stack.api("POST", f"/api/oauth/undo/{connected.id}", body)
    assert answer.status == 200 and answer.json["generation"] == 3, answer
    assert [row["consumed"] for row in connected.oidc.ledger()["tokens"] if row["value"] == first["value"]] == [True]
    asked = connected.oidc.asked()
    connected.stack.api("POST", f"/api/oauth/undo/{connected.id}", body).problem(409, "nothing_to_undo")
    assert connected.oidc.asked() == asked, "a refresh token that was spent was sent again"
    renewed = connected.stack.api("POST", f"/api/oauth/refresh/{connected.id}", {"provider": "oidc"})
    assert renewed.status == 200 and renewed.json["generation"] == 4, renewed


def test_nothing_leaked(place):
    """Runs last in this file, over all that it has caused."""
    stack, oidc = place
    values = {row["kind"]: {r["value"] for r in oidc.ledger()["tokens"] if r["kind"] == row["kind"]} for row in oidc.ledger()["tokens"]}
    values |= {"verifier or secret": oidc.secrets() - set().union(*values.values()) | {MARKER}}
    wanted = leaks.needles(values)
    assert {"AccessToken", "RefreshToken", "AuthorizationCode"} <= set(values) and len(wanted) > 500
    assert leaks.search_files(wanted, [*stack.log_files(), stack.env["VESTAL_STATE_DIR"]]) == set()
    found = leaks.search_files(wanted, [stack.env["VESTAL_RUNTIME_DIR"]])
    assert {label for _, label in found} == {"AccessToken"}, "environment files hold access tokens and nothing else"
