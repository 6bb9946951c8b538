"""Provider definitions as an operator meets them: the built-in ones, the check of a file, the words of an app."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from harness import TREE

BUILT_IN = sorted(path.stem for path in (TREE / "fcgi/oauth/providers").glob("*.json"))
GOOD = {
    "name": "x", "authorize_url": "https://a.example/auth", "token_url": "https://a.example/token", "scopes": [],
    "rotation": "never", "access_ttl_s": 3600, "renew_before_s": 600,
}  # fmt: skip


def check(stack, tmp_path, text, *options):
    path = tmp_path / "x.json"
    path.write_text(text)
    done = stack.ctl("provider", "check", str(path), *options, check=False)
    return done.returncode, done.stdout.replace(str(path), "x.json")


def lines(definition):
    return json.dumps(definition, indent=1)


def test_all_built_in_providers_are_there(stack):
    listed = json.loads(stack.ctl("provider", "list", "--json").stdout)["providers"]
    assert sorted(row["name"] for row in listed) == BUILT_IN and len(BUILT_IN) == 10
    assert all(row["docs"].startswith("https://") and row["title"] != row["name"] for row in listed)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_definition_is_good(stack, name):
    done = stack.ctl("provider", "check", str(TREE / f"fcgi/oauth/providers/{name}.json"))
    assert done.stdout.endswith(f"{name}.json: good\n") and "warning" not in done.stdout


# what is written -> what is said, each a line
BROKEN = {
    "no JSON": ('{\n "name": "x",\n "scopes": [}\n', ["x.json:3:13: unexpected token near '}'"]),
    "cut short": ('{\n "name": "x"', ["x.json:2:12: '}' expected near end of file"]),
    "no object": ("[]", ["x.json: is not a JSON object"]),
    "unknown key": (lines(GOOD | {"colour": 1}), ["x.json:9:2: colour: is not known"]),
    "wrong type": (lines(GOOD | {"pkce": "no"}), ["x.json:9:2: pkce: is neither true nor false"]),
    "bad URL": (lines(GOOD | {"token_url": "http://a.example/token"}),
                ["x.json:4:2: token_url: is plain http (only for loopback hosts, with allow_loopback_http)"]),
    "margin": (lines(GOOD | {"renew_before_s": 300}), ["x.json:8:2: renew_before_s: is not larger than refresh_period_s, 300"]),
    "several": (lines(GOOD | {"scopes": ["a", 7], "rotation": "often", "verdicts": [{"at": "token"}]}), [
        "x.json:7:3: scopes[1]: is not a text", "x.json:9:2: rotation: is none of: never, sometimes, always",
        "x.json:13:3: verdicts[0].verdict: is missing"]),
    "missing": (lines({"name": "x"}), [f"x.json:1:1: {key}: is missing" for key in
                ("authorize_url", "token_url", "scopes", "rotation", "access_ttl_s", "renew_before_s")]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_told_by_line_and_key(stack, tmp_path, name):
    text, said = BROKEN[name]
    assert check(stack, tmp_path, text) == (1, "".join(f"{line}\n" for line in said))


def test_a_warning_refuses_nothing(stack, tmp_path):
    code, said = check(stack, tmp_path, lines(GOOD | {"access_ttl_s": 1200}))
    assert (code, said.splitlines()) == (0, [
        "warning: x.json:8:2: renew_before_s: is more than a third of access_ttl_s: the third counts, 400", "x.json: good"])  # fmt: skip


def test_programs_read_the_faults_too(stack, tmp_path):
    code, said = check(stack, tmp_path, lines(GOOD | {"colour": 1}), "--json")
    (fault,) = json.loads(said)["faults"]
    assert code == 1 and json.loads(said)["ok"] is False
    assert {name: fault[name] for name in ("line", "column", "key", "reason", "warning")} == {
        "line": 9, "column": 2, "key": "colour", "reason": "is not known", "warning": False}  # fmt: skip


def test_usage(stack, tmp_path):
    assert stack.ctl("provider", "check", check=False).returncode == 64
    assert stack.ctl("provider", "check", "a", "b", check=False).returncode == 64
    missing = stack.ctl("provider", "check", str(tmp_path / "none.json"), check=False)
    assert missing.returncode == 1 and "cannot be read" in missing.stdout + missing.stderr


# --- the words of an app


def app_set(stack, *options):
    return stack.ctl(
        "app", "set", "entra", "--client-id", "1234", "--client-secret-file", "-", "--redirect-uri",
        f"{stack.env['VESTAL_URL']}/api/oauth/callback/entra", *options, stdin="s\n", check=False)  # fmt: skip


@pytest.mark.parametrize(("options", "said"), [
    ((), "entra needs tenant=VALUE"),
    (("--param", "tenant"), "is not NAME=VALUE"),
    (("--param", "tenant=a/b"), "fits no URL"),
    (("--param", "tenant="), "fits no URL"),
    (("--param", "tenant=a", "--param", "tenant=b"), "second time"),
    (("--param", "tenant=a", "--param", "ten=b"), "is no word"),
    (("--param", "tenant=a", "--param", "client_id=b"), "is no word"),
])  # fmt: skip
def test_a_bad_word_is_refused(stack, options, said):
    before = stack.sql("select * from vestal.app where provider = 'entra'")
    done = app_set(stack, *options)
    assert done.returncode == 64 and said in done.stderr, done
    assert stack.sql("select * from vestal.app where provider = 'entra'") == before


def test_a_word_goes_into_the_address(stack):
    for tenant in ("contoso.example", "common"):  # the second replaces the first
        assert app_set(stack, "--param", f"tenant={tenant}").returncode == 0
        assert stack.sql("select params from vestal.app where provider = 'entra'") == [({"tenant": tenant},)]
        stack.ctl("client", "add", "worded")
        stack.ctl("connect", "worded", "entra")
        answer = stack.api("GET", "/api/oauth/authorize/worded", provider="entra")
        url = urlsplit(answer.json["authorizationUrl"])
        assert (url.netloc, url.path) == ("login.microsoftonline.com", f"/{tenant}/oauth2/v2.0/authorize")
        assert parse_qs(url.query)["client_id"] == ["1234"]
