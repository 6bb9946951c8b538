"""Importing tokens that were kept elsewhere: a file is checked whole before anything is tried, each token is proved at the
provider before it is kept, a passive one loses its old owner nothing, and no token is ever shown."""

import csv
import io
import json
import re
import secrets
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from harness import MARKER
from renewal_harness import Connection, no_fault_left, place  # noqa: F401

TOKEN = re.compile(r"1000\.[0-9a-f]{32}")
COLUMNS = ("clientId", "provider", "refresh_token", "access_token", "expires_in", "expires_at", "datacenter", "scope", "passive")


def as_csv(entries):
    text = io.StringIO()
    columns = [name for name in COLUMNS if any(name in entry for entry in entries)]
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for entry in entries:
        writer.writerow({name: {True: "true", False: "false"}.get(value, value) for name, value in entry.items()})
    return text.getvalue()


def write(place, content, name):
    path = place.stack.data / f"{secrets.token_hex(6)}-{name}"
    path.write_text(content)
    return str(path)


def run(place, *words, stdin=None):
    done = subprocess.run(
        [f"{place.stack.env['VESTAL_BIN']}/vestalctl", "token", "import", *words], input=stdin, capture_output=True, text=True,
        env=place.environment(), timeout=120,
    )  # fmt: skip
    assert MARKER not in done.stdout + done.stderr and not TOKEN.search(done.stdout + done.stderr), "a token was shown"
    return done


def load(place, entries, *options, expect=0):
    """Imports; the report."""
    done = run(place, "--file", write(place, json.dumps(entries), "in.json"), "--json", *options)
    assert done.returncode == expect, done
    return json.loads(done.stdout)


def one(place, entry, *options, expect=0):
    """Imports one; what is reported of it."""
    report = load(place, [entry], *options, expect=expect)
    (told,) = report["entries"]
    return told


@pytest.fixture
def newcomer(place):
    """Makes clients that are connected and hold nothing here, with a grant that somebody else has."""

    def make(provider="sim_never"):
        return Newcomer(place, provider)

    return make


class Newcomer:
    def __init__(self, place, provider):
        self.place, self.stack, self.sim, self.provider = place, place.stack, place.sim, provider
        self.connection = Connection(place, provider)
        self.id, self.app_id = self.connection.id, self.connection.app_id
        (self.grant,) = place.sim.issue(client_id=self.app_id, user=self.connection.user)

    def entry(self, **more):
        whole = {"clientId": self.id, "provider": self.provider, "datacenter": "us", "expires_in": 3600,
                 "refresh_token": self.grant["refresh_token"], "access_token": self.grant["access_token"]}  # fmt: skip
        return {name: value for name, value in (whole | more).items() if value is not None}

    def refreshes(self):
        return [row["outcome"] for row in self.connection.books().asked]

    def row(self):
        rows = self.place.sql("select passive, next_refresh_at is not null, state, t.refresh_sealed is not null from vestal.connection c"
                              " left join vestal.token t on t.connection_id = c.id where c.client_id = %s", self.id)  # fmt: skip
        return rows[0]


# --- one token


def test_passive_by_default(place, newcomer):
    new = newcomer()
    told = one(place, new.entry())
    assert (told["result"], told["cause"], told["passive"], told["generation"], told["status"]) == ("imported", None, True, 1, "healthy")
    assert new.row() == (True, False, "live", True)
    new.connection.serves()
    report = new.connection.health()
    assert report["passive"] is True and report["stores"] == {"database": 1, "file": 1, "environment": 1}
    (event,) = new.connection.events("token.imported")
    assert (event["outcome"], event["generation"]) == ("ok", 1) and event["actor"].startswith("operator:")
    assert json.loads(event["detail_text"]) == {"passive": True}
    place.refresh(*new.connection.only, mode="--all")
    assert len(new.refreshes()) == 1, "a passive one is not renewed here"


def test_active_is_renewed_here(place, newcomer):
    new = newcomer()
    assert one(place, new.entry(), "--active")["passive"] is False
    assert new.row() == (False, True, "live", True)
    new.connection.whole(1)
    new.connection.renews()


@pytest.mark.parametrize("column, option, passive", [("false", (), False), ("true", ("--active",), True), (False, (), False)])
def test_the_column_says_more_than_the_option(place, newcomer, column, option, passive):
    new = newcomer()
    assert one(place, new.entry(passive=column), *option)["passive"] is passive
    assert new.row()[0] is passive


@pytest.mark.parametrize("provider", ["sim_grace", "sim_strict"])
def test_a_passive_one_loses_its_old_owner_nothing(place, newcomer, provider):
    """Where a refresh would replace the refresh token, the access token is proved instead."""
    new = newcomer(provider)
    assert one(place, new.entry())["result"] == "imported"
    assert new.refreshes() == [] and new.row() == (True, False, "live", True)
    assert new.sim.state(new.grant["refresh_token"]) == "live"
    new.connection.serves(new.grant["access_token"])
    place.stack.ctl("connection", "activate", new.id, provider)
    new.connection.renews()


@pytest.mark.parametrize("provider", ["sim_never", "sim_strict"])
def test_a_grant_does_not_end_with_its_access_token(place, newcomer, provider):
    """Nobody is sent to authorize anew because the access token alone was tried."""
    new = newcomer(provider)
    assert one(place, new.entry())["status"] == "healthy"
    report = new.connection.health()
    assert (report["status"], report["action"], report["refreshExpiresAt"]) == ("healthy", "none", None), report
    place.stack.ctl("connection", "activate", new.id, provider)
    new.connection.renews()
    new.connection.whole(2)
    assert new.connection.health()["refreshExpiresAt"] is None


def test_an_active_one_of_a_rotating_provider_keeps_what_comes_of_the_trial(place, newcomer):
    new = newcomer("sim_strict")
    assert one(place, new.entry(), "--active")["result"] == "imported"
    assert new.refreshes() == ["ok"] and new.sim.state(new.grant["refresh_token"]) == "rotated"
    new.connection.whole(1)
    new.connection.renews()


def test_an_access_token_alone(place, newcomer):
    new = newcomer()
    assert one(place, new.entry(refresh_token=None), "--active")["result"] == "imported"
    assert new.refreshes() == [] and new.row() == (False, False, "live", False)
    new.connection.serves(new.grant["access_token"])
    assert 3500 < new.connection.row()["lives_s"] <= 3600


def test_expires_at(place, newcomer):
    new = newcomer()
    at = (datetime.now(timezone.utc) + timedelta(seconds=1800)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert one(place, new.entry(refresh_token=None, expires_in=None, expires_at=at))["result"] == "imported"
    assert 1700 < new.connection.row()["lives_s"] <= 1800


def test_an_existing_token_goes_to_history(place, newcomer):
    new = newcomer()
    connection = new.connection
    connection.connect()
    assert one(place, new.entry(), "--active")["generation"] == 2
    kept = place.sql("select generation, ended_by from vestal.token_history h join vestal.connection c on c.id = h.connection_id"
                     " where c.client_id = %s", connection.id)  # fmt: skip
    assert kept == [(1, "token.imported")]
    assert connection.row()["generation"] == 2


def test_a_new_access_token_alone_takes_no_old_refresh_token_along(place, newcomer):
    """It may be of another grant."""
    new = newcomer()
    new.connection.connect()
    assert one(place, new.entry(refresh_token=None))["result"] == "imported"
    assert new.row()[3] is False


@pytest.mark.parametrize("options", [(), ("--active",), ("--dry-run",)])
def test_another_account_than_the_pinned_one(place, newcomer, options):
    new, connection = newcomer(), place.connect("sim_never")
    before = place.stack.tables()
    assert one(place, new.entry(clientId=connection.id), *options, expect=2)["cause"] == "account_changed"
    assert place.stack.tables() == before


def test_the_data_centre_of_the_file_is_asked(place):
    connection = Connection(place, "sim_never")
    (grant,) = place.sim.issue(client_id=connection.app_id, user=connection.user, datacenter="eu")
    entry = {"clientId": connection.id, "provider": "sim_never", "refresh_token": grant["refresh_token"]}
    assert one(place, entry | {"datacenter": "us"}, expect=2)["result"] == "refused"
    assert one(place, entry | {"datacenter": "eu"})["result"] == "imported"
    assert connection.health()["datacenter"] == "eu"


# --- refusals of one entry


def test_refused_by_the_provider(place, newcomer):
    good, bad = newcomer(), newcomer()
    bad.sim.control("revoke", {"user": bad.connection.user})
    report = load(place, [bad.entry(access_token=None, expires_in=None), good.entry()], expect=2)
    assert (report["imported"], report["refused"], report["notTried"], report["error"]) == (1, 1, 0, None)
    first, second = report["entries"]
    assert (first["result"], first["cause"]) == ("refused", "unknown_refresh_token") and first["generation"] is None
    assert second["result"] == "imported"
    assert bad.row()[2] == "missing"
    (event,) = bad.connection.events("token.imported")
    assert event["outcome"] == "denied" and event["fingerprint"]


def test_a_refusal_changes_nothing(place, newcomer):
    bad = newcomer()
    bad.sim.control("revoke", {"user": bad.connection.user})
    before = place.stack.tables()
    assert one(place, bad.entry(access_token=None, expires_in=None), expect=2)["result"] == "refused"
    assert one(place, bad.entry(refresh_token=None), expect=2)["cause"] == "unknown_access_token"
    assert place.stack.tables() == before


def test_unknown_clients_and_connections_are_named(place, newcomer):
    new = newcomer()
    before = place.stack.tables()
    entries = [new.entry(clientId=f"{new.id}-x"), new.entry(provider="sim_calm")]
    report = load(place, entries, expect=2)
    assert [told["cause"] for told in report["entries"]] == ["client_unknown", "connection_unknown"]
    assert place.stack.tables() == before and new.refreshes() == []


def test_create(place, newcomer):
    """Only what proved comes to be."""
    new, dead = newcomer(), newcomer()
    dead.sim.control("revoke", {"user": dead.connection.user})
    entries = [new.entry(clientId=f"{new.id}-x"), dead.entry(clientId=f"{dead.id}-x", access_token=None, expires_in=None)]
    report = load(place, entries, "--create", expect=2)
    assert [told["result"] for told in report["entries"]] == ["imported", "refused"]
    clients = {row["clientId"]: row["providers"] for row in place.stack.api("GET", "/api/oauth/clients").json["clients"]}
    assert clients[f"{new.id}-x"] == ["sim_never"] and f"{dead.id}-x" not in clients
    actions = [event["action"] for event in place.stack.audit(client_id=f"{new.id}-x")]
    assert actions[:3] == ["client.added", "connection.added", "token.imported"]


def test_a_provider_without_an_app(place, newcomer):
    new = newcomer()
    name = "sim_noapp"
    answer = place.stack.api("PUT", f"/api/oauth/clients/{new.id}", {"providers": ["sim_never", name]})
    assert answer.status == 200
    assert one(place, new.entry(provider=name), expect=2)["cause"] == "app_missing"


@pytest.mark.parametrize("rule, cause", [
    ({"mode": "zoho_error", "error": "invalid_client", "status": 400}, "app_credentials"),
    ({"mode": "status", "status": 429}, "throttled"),
])  # fmt: skip
def test_what_the_app_met_once_no_other_entry_meets(place, newcomer, rule, cause):
    """A file of thousands is no storm of refused requests; another app's entries go on."""
    first, second, third, other = (newcomer(name) for name in ("sim_quick", "sim_quick", "sim_quick", "sim_calm"))
    place.sim.control("faults", {"at": "token", "client_id": first.app_id, "times": 0} | rule)

    def asked():
        ledger = place.sim.ledger(first.app_id)
        return sum(row["kind"] == "token" and row["grant"] == "refresh" for row in ledger["requests"])

    before = asked()
    report = load(place, [first.entry(), second.entry(), third.entry(), other.entry()], expect=2)
    assert [told["cause"] for told in report["entries"]] == [cause, cause, cause, None], report
    assert asked() == before + 1
    place.sim.control("faults", method="DELETE")
    assert one(place, second.entry())["result"] == "imported"


def test_a_provider_that_is_away(place, newcomer):
    new = newcomer("sim_quick")
    place.sim.control("faults", {"at": "token", "mode": "status", "status": 503, "client_id": new.app_id})
    assert one(place, new.entry(), expect=2)["cause"] == "provider_unavailable"
    assert one(place, new.entry())["result"] == "imported"


# --- dry runs


def test_dry_run_stores_nothing(place, newcomer):
    good, bad = newcomer(), newcomer()
    bad.sim.control("revoke", {"user": bad.connection.user})
    before = place.stack.tables()
    entries = [good.entry(), bad.entry(access_token=None, expires_in=None), good.entry(clientId=f"{good.id}-x")]
    report = load(place, entries, "--dry-run", "--create", expect=2)
    assert [told["result"] for told in report["entries"]] == ["proved", "refused", "proved"]
    assert report["dryRun"] is True and report["proved"] == 2
    assert place.stack.tables() == before
    assert place.stack.audit(client_id=good.id, action="token.imported") == []


def test_dry_run_uses_nothing_up(place, newcomer):
    new = newcomer("sim_strict")
    assert one(place, new.entry(), "--dry-run", "--active")["result"] == "proved"
    told = one(place, new.entry(access_token=None, expires_in=None), "--dry-run", "--active", expect=2)
    assert told["cause"] == "cannot_try"
    assert new.refreshes() == [] and new.sim.state(new.grant["refresh_token"]) == "live"


# --- files

GOOD = {"clientId": "ID", "provider": "sim_never", "refresh_token": f"{MARKER}-r", "datacenter": "us"}
BAD_ENTRIES = [  # what is changed, the field that is named
    ({"clientId": None}, "clientId"), ({"clientId": "-x"}, "clientId"), ({"clientId": f"a {MARKER}"}, "clientId"),
    ({"provider": None}, "provider"), ({"provider": "nope"}, "provider"), ({"refresh_token": None}, "refresh_token"),
    ({"refresh_token": "a\tb"}, "refresh_token"), ({"refresh_token": "x" * 16385}, "refresh_token"),
    ({"datacenter": None}, "datacenter"), ({"datacenter": "nowhere"}, "datacenter"),
    ({"expires_in": "0"}, "expires_in"), ({"expires_in": "1e3"}, "expires_in"), ({"expires_in": "-5"}, "expires_in"),
    ({"expires_at": "tomorrow"}, "expires_at"), ({"expires_at": "2030-02-30T00:00:00Z"}, "expires_at"),
    ({"expires_in": "5", "expires_at": "2030-01-01T00:00:00Z"}, "expires_at"),
    ({"passive": "yes"}, "passive"), ({"passive": "TRUE"}, "passive"),
    ({"provider": "sim_strict"}, "access_token"),
]  # fmt: skip


def nothing_imported(place, content, name, *said, options=()):
    before = place.stack.tables()
    calls = len(place.sim.ledger()["requests"])
    for how in ((write(place, content, name), None), ("-", content)):
        done = run(place, "--file", how[0], *options, stdin=how[1])
        assert done.returncode == 64 and done.stdout == "", done
        for words in said:
            assert words in done.stderr, done
    assert place.stack.tables() == before and len(place.sim.ledger()["requests"]) == calls
    return done.stderr


@pytest.mark.parametrize("change, field", BAD_ENTRIES, ids=[f"{n}-{row[1]}" for n, row in enumerate(BAD_ENTRIES)])
def test_a_bad_entry_stops_the_file(place, newcomer, change, field):
    """In the middle of good ones: the line and the field are named, and nothing is tried."""
    new = newcomer()
    bad = {name: value for name, value in (GOOD | {"clientId": f"{new.id}-b"} | change).items() if value is not None}
    entries = [new.entry(), bad, GOOD | {"clientId": f"{new.id}-c"}]
    lines = "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"
    nothing_imported(place, lines, "x.json", f"line 3: {field} ", "1 of 3 entries")
    if "\t" not in str(change):
        nothing_imported(place, as_csv(entries), "x.csv", f"line 3: {field} ", "1 of 3 entries")


BAD_JSON = [  # content, what is said
    ("{}", "array"), ("[{}]", "clientId"), ("[1]", "an object is expected"), ("[{},]", "an object is expected"),
    ('[{"clientId":"a"', "ends within"), ('[{"clientId":"a"}', "a comma or the end"), ("[] x", "behind the array"),
    ('[{"clientId":"a"} {"clientId":"b"}]', "a comma or the end"), ('[{"clientId":"a","clientId":"b"}]', "clientId is there twice"),
    ('[{"clientId":"a","token":"b"}]', "token is none of clientId"), ('[{"clientId":{"a":1}}]', "clientId is neither"),
    ('[{"clientId":1.5}]', "clientId is neither"), ('[{"clientId":"a\\u0000"}]', "no JSON object"), ("[{]", "no JSON object"),
    ('[{"clientId":"' + "a" * 70000 + '"}]', "larger than 64 KiB"), ('[{"clientId":"\\ud800"}]', "no JSON object"),
    ("[" * 30, "an object is expected"), ('[{"clientId":' + "[" * 30 + "]" * 30 + "}]", "no JSON object"),
]  # fmt: skip


@pytest.mark.parametrize("content, said", BAD_JSON, ids=[str(n) for n in range(len(BAD_JSON))])
def test_bad_json(place, content, said):
    nothing_imported(place, content, "x.json", said)


BAD_CSV = [
    ("clientId,provider,secret\na,b,c\n", "line 1: secret is none of clientId"),
    ("clientId,provider,clientId\na,b,c\n", "line 1: clientId is there twice"),
    (f"{MARKER}-1000,b\n", "line 1: column 1 is none of"), ("", "line 1: column 1"),
    ("clientId,provider\na\n", "line 2: line has 1 values, and the header 2 columns"),
    ("clientId,provider\na,b,c\n", "line 2: line has 3 values, and the header 2 columns"),
    ('clientId,provider\n"a,b\n', "a quotation mark is not closed"), ('clientId,provider\n"a"x,b\n', "behind a quoted value"),
    ('clientId,provider\na"b,c\n', "within a value"), ("clientId;provider\na;b\n", "line 1: column 1 is none of"),
    ("clientId,provider\r\n\r\na\r\n", "line 3: line has 1 values"), ("clientId,provider\na\0b,c\n", "NUL"),
    (",".join(["clientId"] * 40) + "\n", "too many columns"),
]  # fmt: skip


@pytest.mark.parametrize("content, said", BAD_CSV, ids=[str(n) for n in range(len(BAD_CSV))])
def test_bad_csv(place, content, said):
    nothing_imported(place, content, "x.csv", said)


def test_one_connection_twice_in_a_file(place, newcomer):
    new = newcomer()
    nothing_imported(place, json.dumps([new.entry(), new.entry()]), "x.json", "line 1: clientId has an entry for this provider")


def test_no_column_of_a_file_without_header_is_shown(place):
    """Its first line would be the header, and holds tokens."""
    said = nothing_imported(place, f"acme,zoho_crm,1000.{MARKER}.aa,1000.bb.{MARKER}\n", "x.csv", "line 1: acme is none of")
    assert MARKER not in said


@pytest.mark.parametrize("how", ["json", "csv", "no name json", "no name csv", "pipe json", "pipe csv", "mark", "crlf"])
def test_forms(place, newcomer, how):
    entries = [newcomer().entry(), newcomer().entry(scope="a,b")]
    content = json.dumps(entries, indent=1) if "json" in how else as_csv(entries)
    if how == "mark":
        content = "\ufeff" + content
    if how == "crlf":
        content = content.replace("\r\n", "\n").replace("\n", "\r\n\r\n")
    name = {"json": "x.JSON", "csv": "x.csv", "mark": "x.csv", "crlf": "x.csv"}.get(how, "x")
    path, stdin = ("-", content) if "pipe" in how else (write(place, content, name), None)
    done = run(place, "--file", path, "--json", stdin=stdin)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["imported"] == 2


def test_the_table(place, newcomer):
    good, bad = newcomer(), newcomer()
    bad.sim.control("revoke", {"user": bad.connection.user})
    path = write(place, as_csv([good.entry(), bad.entry()]), "x.csv")
    done = run(place, "--file", path)
    lines = done.stdout.splitlines()
    assert done.returncode == 2 and lines[0].split()[:4] == ["LINE", "CLIENT", "PROVIDER", "RESULT"], done
    assert lines[1].split()[:6] == ["2", good.id, "sim_never", "imported", "-", "1"], done
    assert lines[2].split()[:5] == ["3", bad.id, "sim_never", "refused", "unknown_refresh_token"], done
    assert lines[-1] == "1 imported, 1 refused"


def test_no_file(place):
    done = run(place, "--file", "/nonexistent/x.json")
    assert done.returncode == 1 and "cannot be opened" in done.stderr
    assert run(place).returncode == 64


def test_many_in_constant_memory(place, tmp_path):
    """A file is read in pieces: 40 times the entries need hardly more memory."""

    def peak_kb(count):
        rows = "".join(f"m{n},sim_never,{MARKER}{'r' * 1000},us\n" for n in range(count)) + "last,nope,x,us\n"
        path = write(place, "clientId,provider,refresh_token,datacenter\n" + rows, "big.csv")
        code = "import resource,subprocess,sys; p = subprocess.run(sys.argv[1:]); print(p.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        done = subprocess.run(
            ["/usr/bin/python3", "-c", code, f"{place.stack.env['VESTAL_BIN']}/vestalctl", "token", "import", "--file", path],
            capture_output=True, text=True, env=place.environment())  # fmt: skip
        status, peak = done.stdout.split()
        assert status == "64" and f"1 of {count + 1} entries" in done.stderr, done
        return int(peak)

    small, large = peak_kb(1000), peak_kb(40000)
    assert large - small < 3000, (small, large)


def test_the_database_goes_away_in_the_middle(place, newcomer):
    """What was imported until then is told, and stays."""
    entries = [newcomer("sim_quick").entry() for _ in range(3)]
    place.sim.control("faults", [
        {"at": "token", "mode": "delay", "delay_ms": 1, "client_id": place.apps["sim_quick"], "times": 1},
        {"at": "token", "mode": "hang", "act": True, "client_id": place.apps["sim_quick"], "times": 1}])  # fmt: skip
    process = subprocess.Popen(
        [f"{place.stack.env['VESTAL_BIN']}/vestalctl", "token", "import", "--json", "--file", write(place, json.dumps(entries), "x.json")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=place.environment(provider_timeout_s=30, lease_s=60))  # fmt: skip
    place.sim.control("wait", {"at": "hang", "count": 1, "client_id": place.apps["sim_quick"], "timeout_s": 10})
    place.sql("alter table vestal.token rename to token_away")
    try:
        place.sim.control("faults", method="DELETE")
        out, err = process.communicate(timeout=60)
    finally:
        place.sql("alter table vestal.token_away rename to token")
    report = json.loads(out)
    assert process.returncode == 1 and "line 1" in err, (out, err)
    assert report["imported"] == 1 and report["notTried"] == 2 and report["error"], report
