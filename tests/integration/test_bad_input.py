"""What is refused, by whom, in which order, and that a refusal leaves nothing behind. Tables of data, few words."""

import hashlib
import http.client
import json
from urllib.parse import quote

import pytest

REAUTHORIZE, EMERGENCY = "/api/oauth/reauthorize/{id}", "/api/zoho/emergency-reauth"
AUTHORIZE, TOKEN, CLIENT = "/api/oauth/authorize/{id}", "/api/oauth/token/{id}", "/api/oauth/clients/{id}"
CALLBACK, HEALTH, CLIENTS = "/api/oauth/callback/zoho_crm", "/divine/oauth/health", "/api/oauth/clients"
CRM = {"provider": "zoho_crm"}

# method, path, roles that may, a request of theirs that is well formed
ROUTES = [
    ("GET", AUTHORIZE + "?provider=zoho_crm", "admin operator", None),
    ("POST", REAUTHORIZE, "admin", CRM),
    ("POST", EMERGENCY, "admin", {"clientId": "{id}"}),
    ("GET", EMERGENCY + "?clientId={id}", "admin", None),
    ("GET", HEALTH, "admin operator auditor", None),
    ("HEAD", HEALTH, "admin operator auditor", None),
    ("GET", TOKEN + "?provider=zoho_crm", "admin service", None),
    ("GET", CLIENTS, "admin", None),
    ("HEAD", CLIENTS, "admin", None),
    ("DELETE", TOKEN + "?provider=zoho_calendar", "admin", None),
    ("PUT", CLIENT, "admin", {"providers": ["zoho_crm"]}),
]
ROLES = ("admin", "operator", "auditor", "service")


def ask(stack, method, path, body=None, key="", kind="application/json"):
    """body: text or bytes as they are, anything else as JSON. kind: the content type, None for none."""
    headers = [] if key is None else [("Authorization", f"Bearer {key or stack.key}")]
    if body is not None:
        body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        headers += [("Content-Type", kind)] if kind else []
    return stack.request(method, path, body, headers)


@pytest.fixture
def at(tenant):
    """Fills in the client of this test."""

    def fill(value):
        if isinstance(value, dict):
            return {name: fill(inner) for name, inner in value.items()}
        return value.replace("{id}", tenant.id) if isinstance(value, str) else value

    return fill


def refused(stack, method, path, body, status, slug, fields=None, **how):
    """Asks for something that is refused; nothing in any table is another than before."""
    before = stack.tables()
    answer = ask(stack, method, path, body, **how)
    named = answer.problem(status, slug)
    if fields is not None:
        assert named == fields, answer
    assert stack.tables() == before
    return answer


@pytest.fixture(scope="module")
def keys(stack):
    return {role: stack.new_key(role, "--all-clients") for role in ROLES}


# --- fields in the path and the query

PATH = [  # a client id as it stands in the path, and how it is refused: by us, or by nginx before us
    ("-x", "clientId"), (".x", "clientId"), ("a%20b", "clientId"), ("a%2Fb", "clientId"), ("..", "clientId"),
    ("a+b", "clientId"), ("a%2Bb", "clientId"), ("a" * 65, "clientId"), ("%C3%A9", "clientId"), ("a%0Ab", "clientId"),
    ("%ff", "clientId"), ("a~b", "clientId"), ("a:b", "clientId"), ("%00", None), ("a%ZZ", None), ("a%2", None),
]  # fmt: skip


@pytest.mark.parametrize("segment, field", PATH, ids=[segment[:12] for segment, _ in PATH])
def test_client_in_the_path(stack, segment, field):
    for method, path, body in (("GET", AUTHORIZE + "?provider=zoho_crm", None), ("POST", REAUTHORIZE, CRM),
                               ("GET", TOKEN + "?provider=zoho_crm", None), ("PUT", CLIENT, {"providers": []})):  # fmt: skip
        path = path.replace("{id}", segment)
        if field:
            refused(stack, method, path, body, 400, "invalid_input", [field])
        else:
            refused(stack, method, path, body, 400, "bad_request")


QUERY = [  # path, the fields named
    (AUTHORIZE, ["provider"]),
    (AUTHORIZE + "?provider=", ["provider"]),
    (AUTHORIZE + "?provider", ["provider"]),
    (AUTHORIZE + "?provider=nope", ["provider"]),
    (AUTHORIZE + "?provider=ZOHO_CRM", ["provider"]),
    (AUTHORIZE + "?provider=zoho%20crm", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm%00", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm%0a", ["provider"]),
    (AUTHORIZE + "?provider=%ff", ["provider"]),
    (AUTHORIZE + "?provider=%zz", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm%", ["provider"]),
    (AUTHORIZE + "?provider=../zoho_crm", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm&provider=zoho_crm", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm&prov%69der=zoho_crm", ["provider"]),
    (AUTHORIZE + "?provider=zoho_crm&reason=x", ["reason"]),
    (AUTHORIZE + "?provider=zoho_crm&clientId=x", ["clientId"]),
    (AUTHORIZE + "?provider=zoho_crm&x=1&y=2", ["x", "y"]),
    (AUTHORIZE + "?provider=zoho_crm&%zz=1", ["query"]),
    (AUTHORIZE + "?provider=zoho_crm&%0a=1", ["query"]),
    (AUTHORIZE + "?" + "&".join(f"p{n}=1" for n in range(65)), ["query"]),
    (REAUTHORIZE + "?provider=zoho_crm", ["provider"]),
    (TOKEN, ["provider"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=-1", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=1.5", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=1e3", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=0x10", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=+5", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=60s", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=31622401", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=99999999999999999999", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&min_ttl=5&min_ttl=5", ["min_ttl"]),
    (TOKEN + "?provider=zoho_crm&generation=1", ["generation"]),
    (EMERGENCY + "?clientId=-", ["clientId"]),
    (EMERGENCY + "?clientId={id}&provider=nope", ["provider"]),
    (EMERGENCY + "?clientId={id}&reason=", ["reason"]),
    (EMERGENCY + "?clientId={id}&reason=a%0Ab", ["reason"]),
    (EMERGENCY + "?clientId={id}&reason=" + "r" * 501, ["reason"]),
    (EMERGENCY + "?clientId={id}&clientId={id}", ["clientId"]),
    (EMERGENCY + "?client={id}", ["client"]),
    (HEALTH + "?status=sick", ["status"]),
    (HEALTH + "?status=healthy,", ["status"]),
    (HEALTH + "?status=", ["status"]),
    (HEALTH + "?status=healthy&status=missing", ["status"]),
    (HEALTH + "?clientId=a/b", ["clientId"]),
    (HEALTH + "?provider=nope", ["provider"]),
    (HEALTH + "?limit=0", ["limit"]),
    (HEALTH + "?limit=10001", ["limit"]),
    (HEALTH + "?limit=x", ["limit"]),
    (HEALTH + "?after=x", ["after"]),
    (HEALTH + "?after=x/", ["after"]),
    (HEALTH + "?after=/zoho_crm", ["after"]),
    (HEALTH + "?after=a/b/c", ["after"]),
    (HEALTH + "?after=x'--/zoho_crm", ["after"]),
    (HEALTH + "?page=2", ["page"]),
    (CLIENTS + "?limit=2", ["limit"]),
]


@pytest.mark.parametrize("path, fields", QUERY, ids=[path[-60:] for path, _ in QUERY])
def test_query(stack, at, path, fields):
    method, body = ("POST", CRM) if path.startswith(REAUTHORIZE) else ("GET", None)
    refused(stack, method, at(path), body, 400, "invalid_input", fields)


# --- fields in the body

BODY = [  # method, path, body, the fields named
    ("POST", REAUTHORIZE, None, ["provider"]),
    ("POST", REAUTHORIZE, "", ["provider"]),
    ("POST", REAUTHORIZE, {}, ["provider"]),
    ("POST", REAUTHORIZE, "{", ["body"]),
    ("POST", REAUTHORIZE, "nonsense", ["body"]),
    ("POST", REAUTHORIZE, "provider=zoho_crm", ["body"]),
    ("POST", REAUTHORIZE, "[]", ["body"]),
    ("POST", REAUTHORIZE, "null", ["body"]),
    ("POST", REAUTHORIZE, '"zoho_crm"', ["body"]),
    ("POST", REAUTHORIZE, "42", ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm"}{}', ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm",}', ["body"]),
    ("POST", REAUTHORIZE, "{'provider':'zoho_crm'}", ["body"]),
    ("POST", REAUTHORIZE, b'\xef\xbb\xbf{"provider":"zoho_crm"}', ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm"}'.encode("utf-16"), ["body"]),
    ("POST", REAUTHORIZE, b'{"provider":"zoho_crm","reason":"\xff"}', ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm","reason":"a\\u0000b"}', ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm","reason":"\\ud800"}', ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm","reason":' + "[" * 5000 + "]" * 5000 + "}", ["body"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm","provider":"zoho_crm"}', ["provider"]),
    ("POST", REAUTHORIZE, '{"provider":"zoho_crm","pro\\u0076ider":"zoho_crm"}', ["pro\\u0076ider"]),  # as it was written
    ("POST", REAUTHORIZE, {"provider": 1}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": None}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": True}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": ["zoho_crm"]}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": {}}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": ""}, ["provider"]),
    ("POST", REAUTHORIZE, {"provider": "nope"}, ["provider"]),
    ("POST", REAUTHORIZE, {"Provider": "zoho_crm"}, ["Provider"]),
    ("POST", REAUTHORIZE, CRM | {"clientId": "x"}, ["clientId"]),
    ("POST", REAUTHORIZE, CRM | {"x": 1}, ["x"]),
    ("POST", REAUTHORIZE, CRM | {"x": 1, "y": 2}, ["x", "y"]),
    ("POST", REAUTHORIZE, CRM | {"a\nb": 1}, ["body"]),
    ("POST", REAUTHORIZE, CRM | {"": 1}, [""]),
    ("POST", REAUTHORIZE, CRM | {"reason": 7}, ["reason"]),
    ("POST", REAUTHORIZE, CRM | {"reason": ""}, ["reason"]),
    ("POST", REAUTHORIZE, CRM | {"reason": "r" * 501}, ["reason"]),
    ("POST", REAUTHORIZE, CRM | {"reason": "a\nb"}, ["reason"]),
    ("POST", REAUTHORIZE, CRM | {"reason": "a\x7fb"}, ["reason"]),
    ("POST", REAUTHORIZE, CRM | {"reason": "a\x85b"}, ["reason"]),
    ("POST", REAUTHORIZE, {"provider": "nope", "reason": 7, "x": 1}, ["provider", "reason", "x"]),
    ("POST", EMERGENCY, {"clientId": "a b"}, ["clientId"]),
    ("POST", EMERGENCY, {"clientId": 1}, ["clientId"]),
    ("POST", EMERGENCY, {"client_id": "{id}"}, ["client_id"]),
    ("POST", EMERGENCY, {"clientId": "{id}", "provider": "nope"}, ["provider"]),
    ("PUT", CLIENT, {}, ["providers"]),
    ("PUT", CLIENT, {"name": "x"}, ["providers"]),
    ("PUT", CLIENT, {"providers": "zoho_crm"}, ["providers"]),
    ("PUT", CLIENT, {"providers": None}, ["providers"]),
    ("PUT", CLIENT, {"providers": [1]}, ["providers[0]"]),
    ("PUT", CLIENT, {"providers": ["zoho_crm", "nope"]}, ["providers[1]"]),
    ("PUT", CLIENT, {"providers": ["zoho_crm", "a\nb"]}, ["providers[1]"]),
    ("PUT", CLIENT, {"providers": ["zoho_crm"] * 101}, ["providers"]),
    ("PUT", CLIENT, {"providers": [], "name": 1}, ["name"]),
    ("PUT", CLIENT, {"providers": [], "name": ""}, ["name"]),
    ("PUT", CLIENT, {"providers": [], "name": "n" * 201}, ["name"]),
    ("PUT", CLIENT, {"providers": [], "id": "x"}, ["id"]),
]


@pytest.mark.parametrize("method, path, body, fields", BODY, ids=[repr(row[2])[:50] for row in BODY])
def test_body(stack, at, method, path, body, fields):
    answer = refused(stack, method, at(path), at(body), 400, "invalid_input")
    assert sorted(fault["field"] for fault in answer.json["errors"]) == sorted(fields)
    assert all(fault["reason"] for fault in answer.json["errors"])


def test_what_was_sent_is_not_repeated(stack, at):
    """Field names are, they are the answer; values never."""
    plant = "PlAnTeD-value"
    for method, path, body in (
        ("POST", REAUTHORIZE, {"provider": plant, "reason": plant + "\n"}), ("GET", AUTHORIZE + f"?provider={plant}", None),
        ("PUT", CLIENT, {"providers": [plant]}), ("GET", HEALTH + f"?after={plant}", None), ("GET", "/" + plant, None),
    ):  # fmt: skip
        assert plant not in ask(stack, method, at(path), body).body.decode()


KINDS = [
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("application/jsonx", 415), ("application/problem+json", 415),
    ("text/json", 415), (None, 415), ("application/json", 200), ("APPLICATION/JSON", 200), ("application/json; charset=utf-8", 200),
    ("application/json;charset=utf-8", 200),
]  # fmt: skip


@pytest.mark.parametrize("kind, status", KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_media_type(stack, at, kind, status):
    for method, path, body in (("PUT", CLIENT, {"providers": []}), ("POST", EMERGENCY, {"clientId": "{id}"})):
        if status == 415:
            refused(stack, method, at(path), at(body), 415, "unsupported_media_type", kind=kind)
        else:
            assert ask(stack, method, at(path), at(body), kind=kind).status == status


def test_size_of_the_body(stack, at):
    fitting = json.dumps(CRM).encode()
    body = fitting + b" " * (65536 - len(fitting))
    before = stack.tables()
    assert ask(stack, "POST", at(REAUTHORIZE), body).status == 404, "never connected; but read"
    assert stack.tables() == before
    for more in (1, 100_000):
        answer = refused(stack, "POST", at(REAUTHORIZE), body + b" " * more, 413, "payload_too_large")
        assert answer.headers["X-Request-Id"]


def test_chunked_body(stack, at):
    """A body without a stated length is read all the same, and bounded by the same size."""

    def send(chunks):
        connection = http.client.HTTPConnection("127.0.0.1", stack.url.port, timeout=30)
        headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
        connection.request("PUT", at(CLIENT), iter(chunks), headers, encode_chunked=True)
        reply = connection.getresponse()
        status, content = reply.status, reply.read()
        connection.close()
        return status, json.loads(content)

    status, content = send([b'{"name":"in ', b'pieces",', b'"providers":[]}'])
    assert status == 200 and content["name"] == "in pieces"
    status, content = send([b'{"name":"'] + [b"x" * 8192] * 9 + [b'"}'])
    assert status == 413 and content["type"] == "urn:vestal:error:payload_too_large"


# --- objects

NOBODY = "nobody-" + "0" * 12
UNKNOWN = [
    ("GET", f"/api/oauth/authorize/{NOBODY}?provider=zoho_crm", None),
    ("POST", f"/api/oauth/reauthorize/{NOBODY}", CRM),
    ("POST", EMERGENCY, {"clientId": NOBODY}),
    ("GET", EMERGENCY + f"?clientId={NOBODY}", None),
    ("GET", f"/api/oauth/token/{NOBODY}?provider=zoho_crm", None),
]


@pytest.mark.parametrize("method, path, body", UNKNOWN, ids=[f"{row[0]} {row[1][:24]}" for row in UNKNOWN])
def test_unknown_client(stack, method, path, body):
    refused(stack, method, path, body, 404, "client_unknown")


def test_provider_without_an_app(stack, at):
    calendar = {"provider": "zoho_calendar"}
    for method, path, body in (
        ("GET", AUTHORIZE + "?provider=zoho_calendar", None), ("POST", REAUTHORIZE, calendar),
        ("POST", EMERGENCY, calendar | {"clientId": "{id}"}), ("GET", EMERGENCY + "?provider=zoho_calendar&clientId={id}", None),
    ):  # fmt: skip
        refused(stack, method, at(path), at(body), 409, "app_missing")


def test_connection_that_is_not_there(stack, at):
    refused(stack, "GET", at(TOKEN + "?provider=zoho_crm"), None, 404, "connection_unknown")
    refused(stack, "POST", at(REAUTHORIZE), CRM, 404, "connection_unknown")


# --- addresses and methods

NOWHERE = [
    "/", "/nope", "/api", "/api/oauth", "/api/oauth/token", "/api/oauth/token/", "/api/oauth/token/a/b", "/api/oauth/authorize/",
    "/api/oauth/clients/", "/api/oauth/clients/a/b", "/API/OAUTH/CLIENTS", "//api/oauth/clients", "/api//oauth/clients",
    "/api/oauth/cl%69ents", "/api/oauth/clients%2F", "/api/oauth/./clients", "/api/oauth/x/../clients", "/divine/oauth/health/",
    "/api/oauth/callback", "/api/oauth/callback/", "/healthz/", "/readyz/x", "/favicon.ico", "/.git/config", "/index.php",
]  # fmt: skip


@pytest.mark.parametrize("path", NOWHERE)
def test_unknown_path(stack, path):
    for key in (stack.key, None):
        refused(stack, "GET", path, None, 404, "not_found", key=key)


METHODS = [  # path, what Allow says
    (AUTHORIZE, "GET"), (CALLBACK, "GET"), (REAUTHORIZE, "POST"), (EMERGENCY, "POST, GET"), (HEALTH, "GET, HEAD"), (TOKEN, "GET, DELETE"),
    (CLIENTS, "GET, HEAD"), (CLIENT, "PUT"), ("/healthz", "GET, HEAD"), ("/readyz", "GET, HEAD"),
]  # fmt: skip


@pytest.mark.parametrize("path, allow", METHODS, ids=[path for path, _ in METHODS])
def test_method(stack, at, path, allow):
    allowed = allow.split(", ")
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get"):
        if method in allowed:
            continue
        before = stack.tables()
        answer = ask(stack, method, at(path), key=None)
        if method == "get":  # no method at all for nginx
            assert answer.status == 400, answer
            continue
        assert answer.status == 405 and answer.headers["Allow"] == allow, (method, answer)
        if method != "HEAD":
            answer.problem(405, "method_not_allowed")
        assert stack.tables() == before
    trace = ask(stack, "TRACE", at(path), key=None)
    assert trace.status == 405 and trace.headers["Allow"]


@pytest.mark.parametrize("path", [HEALTH, CLIENTS, "/healthz", "/readyz"])
def test_head(stack, path):
    head, get = ask(stack, "HEAD", path), ask(stack, "GET", path)
    assert head.status == get.status == 200 and head.body == b"" and get.body
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


# --- callers


def forged(key):
    """The key with another secret and the right check digits: only the database can tell."""
    kind, name, rest = key.split("_", 2)
    text = f"{kind}_{name}_" + rest[:-6].translate(str.maketrans("abcdefABCDEF", "bcdefaBCDEFA"))
    return text + hashlib.sha256(text.encode()).hexdigest()[:6]


def unknown(key):
    """A key that was never made, with the right check digits."""
    text = "vst_000000000000_" + key.split("_", 2)[2][:-6]
    return text + hashlib.sha256(text.encode()).hexdigest()[:6]


CREDENTIALS = {
    "none": lambda key: None,
    "empty": lambda key: "",
    "scheme alone": lambda key: "Bearer",
    "scheme and space": lambda key: "Bearer ",
    "no scheme": lambda key: key,
    "other scheme": lambda key: f"Basic {key}",
    "token scheme": lambda key: f"Zoho-oauthtoken {key}",
    "garbled": lambda key: "Bearer vst_x_y",
    "not ours": lambda key: "Bearer eyJhbGciOiJub25lIn0.e30.",
    "cut": lambda key: f"Bearer {key[:-1]}",
    "longer": lambda key: f"Bearer {key}0",
    "check digits": lambda key: f"Bearer {key[:-1]}{'0' if key[-1] != '0' else '1'}",
    "forged secret": lambda key: f"Bearer {forged(key)}",
    "unknown id": lambda key: f"Bearer {unknown(key)}",
    "upper case": lambda key: f"Bearer {key.upper()}",
    "two keys": lambda key: f"Bearer {key}, Bearer {key}",
    "long": lambda key: "Bearer " + "x" * 3000,
    "not ascii": lambda key: "Bearer \xff\xfe",
    "injection": lambda key: "Bearer ' or '1'='1",
}


@pytest.mark.parametrize("how", CREDENTIALS)
def test_bad_credential(stack, at, how):
    value = CREDENTIALS[how](stack.key)
    headers = [("Authorization", value)] if value is not None else []
    for method, path, _, body in ROUTES:
        before, audited = stack.tables(), len(stack.audit(action="auth.failed"))
        content = None if body is None else json.dumps(at(body)).encode()
        answer = stack.request(method, at(path), content, headers + [("Content-Type", "application/json")])
        assert answer.status == 401 and answer.headers["WWW-Authenticate"] == 'Bearer realm="vestal"', answer
        if method != "HEAD":
            answer.problem(401, "unauthenticated")
            assert "detail" in answer.json and stack.key.encode() not in answer.body
        assert stack.tables() == before
        if value:
            events = stack.audit(action="auth.failed")
            assert len(events) == audited + 1 and events[-1]["request_id"] == answer.headers["X-Request-Id"]
            assert stack.key[18:] not in json.dumps(events[-1])


@pytest.mark.parametrize("value", ["bearer {}", "BEARER {}", "Bearer   {}"])
def test_good_credential(stack, value):
    assert stack.request("GET", HEALTH, headers=[("Authorization", value.format(stack.key))]).status == 200


def test_forging_keeps_the_form(stack):
    """The keys above are refused for their secret, not for their form: the form's check digits hold."""
    for key in (forged(stack.key), unknown(stack.key)):
        assert len(key) == len(stack.key) and key != stack.key
    text = stack.key[:-6]
    assert stack.key == text + hashlib.sha256(text.encode()).hexdigest()[:6]


def test_keys_end(stack):
    revoked, expired, elsewhere = (stack.new_key("admin", "--all-clients", *more) for more in ((), (), ("--address", "127.9.0.0/16")))
    for key in (revoked, expired):
        assert stack.api("GET", HEALTH, key=key).status == 200
    stack.ctl("api-key", "revoke", revoked.split("_")[1])
    stack.sql("update vestal.api_key set expires_at = now() where id = %s", expired.split("_")[1])
    for key in (revoked, expired, elsewhere):
        answer = refused(stack, "GET", CLIENTS, None, 401, "unauthenticated", key=key)
        assert answer.headers["WWW-Authenticate"]
    assert stack.api("GET", HEALTH, key=elsewhere, source="127.9.8.7").status == 200


def test_a_key_comes_by_one_way_only(stack):
    for path in (HEALTH + "?access_token=" + stack.key, HEALTH + "?key=" + quote(stack.key)):
        refused(stack, "GET", path, None, 401, "unauthenticated", key=None)
    for header in ("X-Authorization", "Proxy-Authorization", "X-Api-Key", "Cookie", "HTTP_AUTHORIZATION"):
        assert stack.request("GET", HEALTH, headers=[(header, f"Bearer {stack.key}")]).status == 401


def test_several_authorization_headers(stack):
    good = ("Authorization", f"Bearer {stack.key}")
    for headers in ([good, good], [good, ("Authorization", "Bearer x")], [("authorization", "Basic x"), good]):
        answer = stack.request("GET", HEALTH, headers=headers)
        assert answer.status == 400 and answer.headers["Content-Type"] == "application/problem+json", answer


@pytest.mark.parametrize("method, path, roles, body", ROUTES, ids=[f"{row[0]} {row[1]}" for row in ROUTES])
@pytest.mark.parametrize("role", ROLES)
def test_roles(stack, at, keys, role, method, path, roles, body):
    before = stack.tables()
    answer = ask(stack, method, at(path), at(body), key=keys[role])
    if role in roles.split():
        assert answer.status in (200, 201, 303, 404), answer  # 404: this client was never connected
        return
    assert answer.status == 403, answer
    if method != "HEAD":
        answer.problem(403, "forbidden")
    assert stack.tables() == before
    event = stack.audit(action="auth.failed", request_id=answer.headers["X-Request-Id"])[0]
    assert event["actor"] == "key:" + keys[role].split("_")[1] and event["reason"] == "forbidden"


SCOPED = [row for row in ROUTES if row[1] not in (HEALTH, CLIENTS)]


@pytest.mark.parametrize("method, path, roles, body", SCOPED, ids=[f"{row[0]} {row[1]}" for row in SCOPED])
def test_out_of_scope_looks_like_unknown(stack, at, connected, method, path, roles, body):
    key = stack.new_key("admin", "--client", "somebody-else")
    hidden = refused(stack, method, at(path), at(body), 404, "client_unknown", key=key)
    if method != "PUT":
        missing = ask(stack, method, path.replace("{id}", NOBODY), json.loads(json.dumps(body).replace("{id}", NOBODY)), key=stack.key)
        assert {**hidden.json, "requestId": ""} == {**missing.json, "requestId": ""}


# --- the order of checks: each row is wrong in two ways, the first one answers

ORDER = [  # method, path, body, content type, key, status, slug
    ("GET", "/nope?x=%zz", None, None, None, 404, "not_found"),
    ("POST", "/nope", "{", "text/plain", "service", 404, "not_found"),
    ("DELETE", REAUTHORIZE, None, None, None, 405, "method_not_allowed"),
    ("DELETE", REAUTHORIZE, "{", "text/plain", "service", 405, "method_not_allowed"),
    ("POST", REAUTHORIZE, "{", "text/plain", None, 401, "unauthenticated"),
    ("POST", REAUTHORIZE + "?x=1", CRM, "application/json", None, 401, "unauthenticated"),
    ("GET", "/api/oauth/authorize/-?provider=nope", None, None, None, 401, "unauthenticated"),
    ("POST", REAUTHORIZE, "{", "text/plain", "service", 403, "forbidden"),
    ("POST", REAUTHORIZE, "{", "application/json", "auditor", 403, "forbidden"),
    ("GET", "/api/oauth/authorize/-?provider=nope", None, None, "auditor", 403, "forbidden"),
    ("POST", REAUTHORIZE + "?x=1", "{", "text/plain", "admin", 415, "unsupported_media_type"),
    ("POST", "/api/oauth/reauthorize/-", "{", "text/plain", "admin", 415, "unsupported_media_type"),
    ("POST", f"/api/oauth/reauthorize/{NOBODY}", {"provider": "nope"}, "application/json", "admin", 400, "invalid_input"),
    ("GET", f"/api/oauth/token/{NOBODY}?provider=zoho_crm&min_ttl=-1", None, None, "admin", 400, "invalid_input"),
    ("GET", f"/api/oauth/authorize/{NOBODY}?provider=zoho_calendar", None, None, "admin", 404, "client_unknown"),
    ("POST", REAUTHORIZE, b" " * 70000, "text/plain", None, 413, "payload_too_large"),
    ("POST", "/nope", b" " * 70000, "text/plain", None, 413, "payload_too_large"),
]


@pytest.mark.parametrize("method, path, body, kind, role, status, slug", ORDER, ids=[f"{row[5]} {row[1][:40]}" for row in ORDER])
def test_order(stack, at, keys, method, path, body, kind, role, status, slug):
    refused(stack, method, at(path), body, status, slug, kind=kind, key=keys[role] if role else None)


# --- the form of a refusal


def test_problem_for_a_person(stack):
    """A caller that prefers HTML gets a page with the same words; anybody else JSON."""
    page = stack.api("GET", AUTHORIZE.replace("{id}", NOBODY), accept="text/html,*/*;q=0.8", provider="zoho_crm")
    assert page.status == 404 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>There is no such client</h1>" in page.body.decode() and page.headers["X-Request-Id"] in page.body.decode()
    for accept in (None, "*/*", "application/json, text/html;q=0.5", "text/html;q=0, */*", "text/plain", "nonsense"):
        answer = stack.api("GET", AUTHORIZE.replace("{id}", NOBODY), accept=accept, provider="zoho_crm")
        answer.problem(404, "client_unknown")


def test_page_escapes(stack):
    answer = stack.api("GET", HEALTH, accept="text/html", **{"<script>alert(1)</script>": "x"})
    assert answer.status == 400 and b"<script>" not in answer.body and b"&lt;script&gt;" in answer.body


def test_every_refusal_has_the_headers(stack):
    for path, key in (("/nope", ""), (HEALTH, None), (HEALTH + "?x=1", ""), ("/api/oauth/token/%00", "")):
        answer = ask(stack, "GET", path, key=key)
        assert answer.status >= 400
        for name in ("X-Request-Id", "Cache-Control", "X-Content-Type-Options", "Content-Security-Policy", "X-Frame-Options"):
            assert len(answer.headers.get_all(name)) == 1, (path, name)
        assert answer.headers["Cache-Control"] == "no-store" and "Server" not in answer.headers or "/" not in answer.headers["Server"]
