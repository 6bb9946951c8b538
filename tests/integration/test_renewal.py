"""Renewal with real parts: what is renewed when, what every answer of a provider leads to, and what trouble costs."""

import json
import os
import random
import resource
import secrets
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from email.utils import formatdate

import leaks
import pytest
from harness import LONG, MARKER, TREE, eventually
from oidc.oidc import OidcProvider, install
from renewal_harness import OIDC, PATIENT, ROTATIONS, all_events, no_fault_left, place  # noqa: F401
from test_kill_points import ask_worker, let_run_out
from test_oidc import OidcTenant

MARGIN_S, PERIOD_S = 600, 300
FOREVER = {"times": 0}


# --- what is due


@pytest.fixture(scope="module", autouse=True)
def only_ours(place):
    """What other tests of the stack left in need of a person would be counted in every exit code."""
    place.sql("update vestal.connection set removed_at = now() where removed_at is null and (state in ('invalid', 'quarantined'))")


def test_due_ones_are_renewed_once(place):
    due, waits = [place.own(), place.own()], place.own()
    listener = place.stack.connect_database()
    listener.cursor().execute("listen vestal_token")
    place.make_due(*due)
    place.refresh("--provider", "zoho_crm")
    for connection in due:
        books = connection.books()
        assert len(books.asked) == len(books.mints) == 1
        connection.whole(generation=2)
        row, file = connection.row(), connection.environment_file()
        assert 3590 < row["life_s"] <= 3600
        before_end_s = row["lives_s"] - row["next_s"]
        assert MARGIN_S <= before_end_s <= 1.1 * MARGIN_S and row["late_s"] == pytest.approx(2 * PERIOD_S), row
        assert file["ACCESS_TOKEN"] == books.newest == connection.serves() and file["AUTHORIZATION_SCHEME"] == "Zoho-oauthtoken"
        (event,) = connection.events("token.renewed")
        assert (event["actor"], event["actor_auth"]) == ("system:refresh", "cron"), event
        assert event["program"].startswith("vestal-refresh "), event
        assert (event["generation"], event["outcome"]) == (2, "ok") and event["fingerprint"], event
        ((mode, code, ended),) = place.sql("select mode, exit_code, ended_at is not null from vestal.refresh_run"
                                           " where id::text = %s", event["run_id"])  # fmt: skip
        assert (mode, code, ended) == ("due", 0, True)
    assert waits.books().asked == [] and waits.row()["generation"] == 1
    listener.poll()
    said = [json.loads(notice.payload) for notice in listener.notifies]
    for connection in due:
        assert {"clientId": connection.id, "provider": "zoho_crm", "generation": 2} in said
    listener.close()

    assert place.refresh("--provider", "zoho_crm", "--json").json["counts"]["renewed"] == 0
    assert [len(connection.books().asked) for connection in (*due, waits)] == [1, 1, 0], "nothing was due any more"


def test_jitter(place):
    """Renewed together, they are not due together again."""
    connections = place.connect_many("sim_quick", 12)
    place.make_due(*connections)
    place.refresh("--provider", "sim_quick")
    times = sorted(connection.row()["next_s"] for connection in connections)
    assert times[-1] - times[0] > 5, times


def test_missed_runs_heal(place):
    connections = place.connect_many("sim_quick", 6)
    place.pass_time(3 * 3600, *connections)
    assert {connection.health()["status"] for connection in connections} == {"expired"}
    place.refresh("--provider", "sim_quick")
    for connection in connections:
        connection.whole(generation=2)
        connection.serves(connection.books().newest)


def test_a_short_life_has_a_short_margin(place):
    connection = place.own(token_ttl_s=900)
    place.make_due(connection)
    place.refresh(*connection.only)
    row = connection.row()
    assert row["life_s"] == pytest.approx(900) and 300 <= row["lives_s"] - row["next_s"] <= 330, row


def test_what_cannot_be_claimed_keeps_no_token_from_being_stored(place):
    """A row that somebody holds is found due again and again, and never won."""
    held, free = place.own(), place.own()
    place.make_due(held, free)
    with closing(place.stack.connect_database()) as database, database.cursor() as cursor:
        database.autocommit = False
        cursor.execute("select from vestal.connection where client_id = %s for update", (held.id,))
        place.refresh()
        assert (free.row()["generation"], held.row()["generation"]) == (2, 1)
    place.refresh()
    assert (free.row()["generation"], held.row()["generation"]) == (2, 2)


def test_overlapping_runs_share_the_work(place):
    connections = place.connect_many("sim_crowd", 24)
    place.sim.control("settings", {"client_id": connections[0].app_id, "latency_ms": 150})
    other = place.another_host("second")
    for turn in range(10):  # a host that starts late may find nothing left
        asked = {c.id: len(c.books().asked) for c in connections}
        place.make_due(*connections)
        runs = [place.start("--provider", "sim_crowd", "--concurrency", "4", **how) for how in ({}, {}, other, other)]
        done = [run.wait() for run in runs]
        assert [one.code for one in done] == [0] * 4, done
        place.refresh("--provider", "sim_crowd")
        assert {c.id: len(c.books().asked) for c in connections} == {name: n + 1 for name, n in asked.items()}
        hosts = place.sql("select distinct r.host from vestal.audit_event e join vestal.refresh_run r on r.id::text = e.run_id"
                          " where e.action = 'token.renewed' and e.client_id = any (%s)", [c.id for c in connections])  # fmt: skip
        if len(hosts) == 2 and turn >= (2 if LONG else 0):
            break
    assert len(hosts) == 2, f"one host did all: {hosts}"
    assert all(c.row()["lease_owner"] is None for c in connections)


@pytest.mark.parametrize("provider", ["sim_strict", "sim_never"])
def test_readers_of_two_hosts_and_refreshers_share_one_renewal(place, provider):
    connection, other = place.connect(provider), place.another_host("second")
    let_run_out(connection)
    connection.fault(mode="delay", delay_ms=400)
    with place.worker(**other) as (_, path), ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(connection.token) for _ in range(5)] + [pool.submit(ask_worker, path, connection)]
        runs = [place.start(*connection.only, **how) for how in ({}, other)]
        assert {run.wait().code for run in runs} == {0}
        assert [answer.result().status for answer in answers[:5]] == [200] * 5
        assert answers[5].result().startswith(b"Status: 200")
    assert len(connection.books().asked) == 1
    connection.whole(generation=2)
    connection.serves(connection.books().newest)


# --- what an answer means


def text_of(status, **headers):
    return {"mode": "status", "status": status, "headers": {name.replace("_", "-"): str(v) for name, v in headers.items()}}


def json_of(status, **body):
    return {"mode": "status", "status": status, "body": body}


def zoho(error, status=200, **more):
    return {"mode": "zoho_error", "error": error, "status": status} | more


def in_http(seconds):
    return formatdate(time.time() + seconds, usegmt=True)


OUTAGE = ("unreachable", "provider_outage", "wait", "provider")
BUSY = ("healthy", "rate_limited", "none", "none")
APP = ("expiring", "app_credentials", "fix_app", "operator")
MANY = {"description": "You have made too many requests continuously. Please try again after some time."}

# a provider's answer to one renewal: the connection's report, what defers it, how long (least, most), the exit code
ANSWERS = {
    "500 that says invalid_grant": (json_of(500, error="invalid_grant"), OUTAGE, "backoff", (26, 34), 0),
    "500 that says invalid_code": (zoho("invalid_code", 500), OUTAGE, "backoff", (26, 34), 0),
    "502 page": ({"mode": "html", "status": 502}, OUTAGE, "backoff", (26, 34), 0),
    "503 page": ({"mode": "html", "status": 503}, OUTAGE, "backoff", (26, 34), 0),
    "200 page": ({"mode": "html", "status": 200}, OUTAGE, "backoff", (26, 34), 0),
    "200 empty": ({"mode": "empty", "status": 200}, OUTAGE, "backoff", (26, 34), 0),
    "400 empty": ({"mode": "empty"}, OUTAGE, "backoff", (26, 34), 0),
    "400 page": ({"mode": "html", "status": 400}, OUTAGE, "backoff", (26, 34), 0),
    "cut JSON": ({"mode": "broken_json"}, OUTAGE, "backoff", (26, 34), 0),
    "without token": ({"mode": "success_without", "fields": ["access_token"]}, OUTAGE, "backoff", (26, 34), 0),
    "token no string": ({"mode": "override", "fields": {"access_token": 7}}, OUTAGE, "backoff", (26, 34), 0),
    "a megabyte": ({"mode": "huge", "megabytes": 1}, OUTAGE, "backoff", (26, 34), 0),
    "redirect": ({"mode": "redirect", "location": "/oauth/v2/token"}, OUTAGE, "backoff", (26, 34), 0),
    "dropped before": ({"mode": "drop_before"}, OUTAGE, "backoff", (26, 34), 0),
    "dropped after": ({"mode": "drop_after"}, OUTAGE, "backoff", (26, 34), 0),
    "temporarily_unavailable": (json_of(400, error="temporarily_unavailable"), OUTAGE, "backoff", (26, 34), 0),
    "general_error": (zoho("general_error"), OUTAGE, "backoff", (26, 34), 0),
    "429": (text_of(429), BUSY, "rate", (530, 670), 0),
    "429 for a while": (text_of(429, Retry_After=77), BUSY, "rate", (60, 100), 0),
    "429 until a date": (lambda: text_of(429, Retry_After=in_http(1800)), BUSY, "rate", (1600, 2000), 0),
    "429 until long ago": (lambda: text_of(429, Retry_After=in_http(-1800)), BUSY, "rate", (530, 670), 0),
    "503 for a while": (text_of(503, Retry_After=120), BUSY, "rate", (100, 140), 0),
    "Access Denied": (zoho("Access Denied", 400, **MANY), BUSY, "rate", (530, 670), 0),
    "Access Denied with 200": (zoho("Access Denied", 200, **MANY), BUSY, "rate", (530, 670), 0),
    "access_denied": (zoho("access_denied"), BUSY, "rate", (530, 670), 0),
    "in Chinese": (zoho("拒绝访问", 400, description="您连续提出了太多请求。请过一段时间再试。"), BUSY, "rate", (530, 670), 0),
    "invalid_client": (zoho("invalid_client"), APP, "gate", None, 2),
    "invalid_client with 401": (zoho("invalid_client", 401), APP, "gate", None, 2),
    "invalid_client_secret": (zoho("invalid_client_secret"), APP, "gate", None, 2),
    "invalid_redirect_uri": (zoho("invalid_redirect_uri"), APP, "gate", None, 2),
    "unauthorized_client": (json_of(400, error="unauthorized_client"), APP, "gate", None, 2),
    "401 without words": (text_of(401), APP, "gate", None, 2),
    "invalid_scope": (zoho("invalid_scope"), APP, "gate", None, 2),
    "invalid_code": (zoho("invalid_code"), ("healthy", "ambiguous_refusal", "none", "none"), "refusal", (100, 140), 0),
    "invalid_grant": (json_of(400, error="invalid_grant"), ("healthy", "ambiguous_refusal", "none", "none"), "refusal", (100, 140), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(place, name):
    fault, verdict, deferred_by, wait_s, code = ANSWERS[name]
    connection = place.own()
    value = connection.serves()
    connection.fault(**(fault() if callable(fault) else fault))
    place.make_due(connection)
    done = place.refresh(*connection.only, expect=None)
    assert done.code == code, (done, connection.row())
    row, books = connection.row(), connection.books()
    assert len(books.asked) == 1, books
    assert connection.verdict() == verdict, (connection.verdict(), row)
    assert (row["state"], row["deferred_by"], row["failures"], row["lease_owner"]) == ("live", deferred_by, 1, None), row
    if wait_s:
        assert wait_s[0] <= row["next_s"] <= wait_s[1], row
    (event,) = connection.events("token.renewal_failed")
    assert event["reason"] and row["last_error_code"] == event["reason"]
    connection.serves(value)

    asked = len([row for row in place.sim.ledger(connection.app_id)["requests"] if row["kind"] == "token"])
    for mode in ("--due", "--due") if deferred_by == "backoff" else ("--due", "--all"):
        place.refresh(*connection.only, mode=mode, expect=None)
    after = [row for row in place.sim.ledger(connection.app_id)["requests"] if row["kind"] == "token"]
    assert len(after) == asked, "asked again before its time"

    place.pass_time(3500, connection)  # also beyond what Retry-After asked for; the old token still lives
    place.ripen_gates("zoho_crm")
    for _ in range(2):  # an app is proved first
        place.make_due(connection)
        place.refresh(*connection.only, "--deadline", "3", expect=None)
        if connection.row()["generation"] == 2:
            break
    place.refresh(*connection.only)  # the other stores, when that run was cut short
    connection.whole(generation=2)
    connection.serves(connection.books().newest)


GOOD = {  # what is still a success: how long the token lives then
    "without expires_in": ({"mode": "success_without", "fields": ["expires_in"]}, 3600),
    "in milliseconds": ({"mode": "override", "fields": {"expires_in": 3600000, "expires_in_sec": 3600}}, 3600),
    "milliseconds alone": ({"mode": "override", "fields": {"expires_in": 3600000}}, 3600),
    "a string": ({"mode": "override", "fields": {"expires_in": "1800"}}, 1800),
    "a fraction": ({"mode": "override", "fields": {"expires_in": 1800.7}}, 1800),
    "null": ({"mode": "override", "fields": {"expires_in": None}}, 3600),
    "no word": ({"mode": "override", "fields": {"expires_in": "soon"}}, 3600),
    "refresh token empty": ({"mode": "override", "fields": {"refresh_token": ""}}, 3600),
    "refresh token null": ({"mode": "override", "fields": {"refresh_token": None}}, 3600),
    "unknown fields": ({"mode": "override", "fields": {"x": {"y": [1, None]}, "refresh_token_2": "z"}}, 3600),
    "without scope": ({"mode": "success_without", "fields": ["scope", "api_domain", "token_type"]}, 3600),
}


@pytest.mark.parametrize("name", GOOD)
def test_success(place, name):
    fault, life_s = GOOD[name]
    connection = place.own()
    connection.fault(**fault)
    place.make_due(connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)
    connection.serves(connection.books().newest)
    row = connection.row()
    assert row["life_s"] == pytest.approx(life_s, abs=1), row
    connection.renews()
    assert len({asked["token"] for asked in connection.books().asked}) == 1, "the refresh token was to be kept"


def test_an_access_token_of_eight_kilobytes(place):
    connection = place.own(access_bytes=8192)
    place.make_due(connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)
    served = connection.serves(connection.books().newest)
    assert len(served) == 8192 and connection.environment_file()["ACCESS_TOKEN"] == served
    connection.renews()


def test_a_scope_that_shrank(place):
    connection = place.own()
    connection.fault(mode="override", fields={"scope": "ZohoCRM.users.READ"})
    place.make_due(connection)
    place.refresh(*connection.only)
    status, cause, action, owner = connection.verdict()
    assert (cause, action, owner) == ("scope_missing", "ask_tenant", "tenant"), connection.verdict()
    assert connection.row()["generation"] == 2
    connection.serves(connection.books().newest)
    connection.renews()
    connection.whole(generation=3)


def test_what_nobody_understands_is_looked_at(place):
    """Ten answers in a row that nothing knows: somebody has to look. Never dead."""
    connection = place.own()
    connection.fault(**zoho("general_error"), **FOREVER)
    waits = []
    for number in range(1, 11):
        place.calm()
        place.pass_time(3600, connection)
        place.refresh(*connection.only, expect=None)
        row = connection.row()
        assert row["failures"] == number and row["state"] == "live", row
        waits.append(row["next_s"])
    assert connection.row()["cause"] == "our_fault" and connection.health()["action"] == "investigate"
    assert len(place.incidents(connection)) == 1
    assert all(later > 1.5 * earlier for earlier, later in zip(waits, waits[1:5])), waits
    assert all(wait < 1000 for wait in waits[:9]), waits
    place.sim.control("faults", method="DELETE")
    place.pass_time(4000, connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)


# --- a grant that is refused


def refused(place, connection, expect):
    place.refresh(*connection.only, expect=expect)
    return connection.row()


def test_a_refusal_is_confirmed(place):
    connection = place.own()
    old = connection.serves()
    place.sim.control("revoke", {"user": connection.user})
    place.make_due(connection)
    row = refused(place, connection, 0)
    assert (row["state"], row["cause"], row["refusals"]) == ("live", "ambiguous_refusal", 1), row
    assert place.incidents(connection) == [("suspected", "ambiguous_refusal")]
    for mode in ("--due", "--all"):
        place.refresh(*connection.only, mode=mode)
    assert len(connection.books().asked) == 1, "not before confirm_dead_s"
    answer = place.stack.api("GET", f"/api/oauth/token/{connection.id}", provider="zoho_crm")
    assert answer.status == 200 and answer.json["access_token"] == old, "our side knows of no end yet"

    place.pass_time(121, connection)
    row = refused(place, connection, 2)
    assert (row["state"], row["cause"], row["next_s"]) == ("invalid", "user_revoked", None), row
    assert connection.verdict() == ("invalid", "user_revoked", "reauthorize", "tenant")
    assert len(place.incidents(connection)) == 1 and len(connection.events("token.renewal_failed")) == 2
    place.pass_time(3000, connection)
    for mode in ("--due", "--all"):
        place.refresh(*connection.only, mode=mode, expect=None)
    assert len(connection.books().asked) == 2, "a dead grant is not retried"
    assert connection.token().json["degraded"] is True, "as long as it lives"
    place.pass_time(600, connection)
    connection.token().problem(409, "reauthorization_required")
    assert connection.connect()["generation"] == 2
    connection.whole(generation=2)
    connection.renews()


def test_a_refusal_that_was_none(place):
    connection = place.own()
    connection.fault(**zoho("invalid_code"))
    place.make_due(connection)
    assert refused(place, connection, 0)["cause"] == "ambiguous_refusal"
    place.pass_time(121, connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)


def test_a_failure_between_does_not_count_as_confirmation(place):
    connection = place.own()
    connection.fault(**zoho("invalid_code"))
    connection.fault(**text_of(500))
    place.make_due(connection)
    assert refused(place, connection, 0)["refusals"] == 1
    place.pass_time(121, connection)
    row = refused(place, connection, 0)
    assert row["state"] == "live", row
    place.pass_time(121, connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)


# --- wrong credentials of an app


def test_wrong_credentials_cost_one_refresh(place):
    connections = place.connect_many("sim_app", 20)
    app_id, right = connections[0].app_id, f"{MARKER}{secrets.token_hex(12)}"
    place.register("sim_app", right, ours="wrong")
    values = {connection.id: connection.serves() for connection in connections[:3]}

    def requests(grant):
        return sum(row["grant"] == grant for row in place.sim.ledger(app_id)["requests"] if row["kind"] == "token")

    codes = requests("code")
    place.make_due(*connections)
    only = ("--provider", "sim_app")
    for _ in range(2):
        place.refresh(*only, expect=2)
        assert requests("refresh") == 1, "one refresh for the app, not one for each connection"
    reports = [connection.health() for connection in connections]
    assert {(r["status"], r["cause"], r["action"]) for r in reports} == {("expiring", "app_credentials", "fix_app")}, reports
    assert len(place.incidents(provider="sim_app")) == 1 and place.incidents(*connections) == []
    for connection in connections[:3]:
        connection.serves(values[connection.id])

    place.ripen_gates("sim_app")
    place.make_due(*connections)
    place.refresh(*only, expect=2)
    assert requests("refresh") == 1 and requests("code") > codes, "tried by a made-up code, which touches no grant"
    assert place.gate("sim_app", app=True)["openings"] == 2

    place.tell("sim_app", right)
    place.refresh(*only)
    for connection in connections:
        connection.whole(generation=2)
        connection.serves(connection.books().newest)
    assert requests("refresh") == 21 and place.incidents(provider="sim_app") == []


# --- a provider that is away

DOWN = {
    "503": text_of(503),
    "drops": {"mode": "drop_before"},
    "drops what it did": {"mode": "drop_after"},
    "hangs": {"mode": "hang"},
    "byte by byte": {"mode": "slow"},
}


@pytest.fixture
def crowd(place):
    """At a provider whose definition is proved: a changed one would be tried on one of them first."""
    connections = place.connect_many("sim_down", 8)
    prover = place.connect("sim_down")
    prover.renews()
    place.retire(prover)
    yield connections
    place.retire(*connections)


@pytest.mark.parametrize("name", DOWN)
def test_provider_away(place, crowd, name):
    app_id, only = crowd[0].app_id, ("--provider", "sim_down", "--concurrency", "2")
    quick = {"provider_timeout_s": 1}
    values = {connection.id: connection.serves() for connection in crowd}

    def asked():
        return sum(row["grant"] == "refresh" for row in place.sim.ledger(app_id)["requests"])

    before = asked()
    crowd[0].fault(**DOWN[name], **FOREVER)
    place.make_due(*crowd)
    place.refresh(*only, **quick)
    assert 5 <= asked() - before <= 6, "the gate opens after five of a kind"
    gate = place.gate("sim_down")
    assert gate["state"] == "open" and 20 <= gate["retry_s"] <= 35, gate
    assert place.incidents(provider="sim_down") == [("open", "provider_outage")] and place.incidents(*crowd) == []

    shut = asked()
    place.make_due(*crowd)
    place.refresh(*only, **quick)
    place.refresh(*only, mode="--all", **quick)
    assert asked() == shut, "asked behind a shut gate"
    for connection in crowd:
        assert connection.row()["state"] == "live"
        connection.serves(values[connection.id])

    place.ripen_gates("sim_down")
    for run in [place.start(*only, **quick) for _ in range(2)]:
        assert run.wait().code == 0
    assert asked() == shut + 1, "one tries for all"
    assert place.gate("sim_down")["state"] == "open" and place.gate("sim_down")["openings"] == 2
    assert len(place.incidents(provider="sim_down")) == 1

    place.sim.control("faults", method="DELETE")
    place.ripen_gates("sim_down")
    place.refresh(*only, "--deadline", "3")  # without it the run waits for those that it has resumed
    assert place.gate("sim_down")["state"] == "closed" and place.incidents(provider="sim_down") == []
    rows = [connection.row() for connection in crowd]
    late = [row for row in rows if row["generation"] == 1 and row["next_s"] > 15]
    assert not late, f"not resumed within a quarter of a minute: {late}"
    place.pass_time(15, *crowd)
    place.refresh(*only, **quick)
    for connection in crowd:
        connection.whole(generation=2)
        connection.serves(connection.books().newest)


def test_a_shut_gate_is_reported_of_all_behind_it(place, crowd):
    crowd[0].fault(**text_of(503), **FOREVER)
    place.make_due(*crowd)
    place.refresh("--provider", "sim_down", "--concurrency", "2")
    unasked = [connection for connection in crowd if not connection.books().asked]
    assert unasked and place.gate("sim_down")["state"] == "open"
    assert {connection.verdict() for connection in crowd} == {OUTAGE}, "also of those that wait without having been asked"


def test_a_changed_definition_is_tried_on_one(place, tmp_path):
    connections = place.connect_many("sim_quick", 6)
    only = ("--provider", "sim_quick")
    place.make_due(*connections)
    place.refresh(*only)
    changed = place.stack.data / "changed"
    changed.mkdir()
    for path in (place.stack.data / "providers.d").glob("*.json"):
        (changed / path.name).write_text(path.read_text())
    definition = json.loads((changed / "sim_quick.json").read_text())
    (changed / "sim_quick.json").write_text(json.dumps(definition | {"token_url": "{accounts}/oauth/v2/nothing"}))
    os.chmod(changed, 0o755)

    place.make_due(*connections)
    place.refresh(*only, provider_dir=changed)
    failed = all_events(connections, "token.renewal_failed")
    assert sum(failed.values()) == 1, failed
    assert all(connection.row()["state"] == "live" for connection in connections)

    place.calm()
    place.make_due(*connections)
    place.refresh(*only)
    for connection in connections:
        connection.whole(generation=3)


# --- many deaths at once


def test_mass_deaths_are_held(place):
    connections = place.connect_many("sim_mass", 20)
    only = ("--provider", "sim_mass")
    connections[0].fault(**zoho("invalid_code"), **FOREVER)
    place.make_due(*connections)
    place.refresh(*only, expect=None)
    rows = {connection.id: connection.row() for connection in connections}
    dead = [c for c in connections if rows[c.id]["state"] == "invalid"]
    held = [c for c in connections if c not in dead]
    assert len(dead) <= 4, f"{len(dead)} of 20 declared dead at once"
    for connection in held:
        row = rows[connection.id]
        assert (row["state"], row["cause"], row["deferred_by"]) == ("live", "ambiguous_refusal", "refusal"), row
        assert 530 <= row["next_s"] <= 670, row
    assert len(place.incidents(provider="sim_mass")) == 1, "somebody is told that the provider is suspected"
    place.refresh(*only, mode="--all", expect=None)
    assert sum(len(connection.books().asked) for connection in connections) == 20, "asked again before its time"

    place.sim.control("faults", method="DELETE")
    really, spared = held[:8], held[8:]
    for connection in really:
        place.sim.control("revoke", {"user": connection.user})
    place.pass_time(670, *held)
    place.refresh(*only, expect=2)
    for connection in really:
        assert connection.verdict() == ("invalid", "user_revoked", "reauthorize", "tenant"), connection.row()
    for connection in spared:
        connection.whole(generation=2)
        connection.serves(connection.books().newest)


# --- the provider's quota


def renew_now(connection):
    return connection.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider})


def test_quota_is_shared_and_never_exceeded(place):
    connection = place.own()
    answers = [renew_now(connection) for _ in range(8)]
    by_hand = len(connection.books().asked)
    assert by_hand == 5, f"people have half of ten: {by_hand}, {answers}"
    assert {answer.status for answer in answers[5:]} <= {200, 429, 503}, answers
    place.make_due(connection)
    place.refresh(*connection.only)
    assert len(connection.books().mints) == by_hand + 1, "the schedule is never locked out"
    for _ in range(5):
        place.make_due(connection)
        place.refresh(*connection.only)
        place.refresh(*connection.only, mode="--all")
    books = connection.books()
    assert len(books.asked) == len(books.mints) == 8, "eight of ten in ten minutes, whoever asks"
    row = connection.row()
    assert row["deferred_by"] == "quota" and 500 < row["next_s"] <= 601, row
    assert connection.verdict()[:2] == ("healthy", "none")
    connection.serves(books.newest)
    place.pass_time(602, connection)
    place.refresh(*connection.only)
    assert len(connection.books().mints) == 9
    connection.whole(generation=10)


def test_all_of_it_by_the_schedule(place):
    connection = place.own()
    for _ in range(12):
        place.refresh(*connection.only, mode="--all")
    assert 1 <= len(connection.books().asked) <= 8
    assert renew_now(connection).status in (200, 429, 503)
    assert len(connection.books().asked) <= 8


# --- no slot, no request


def full():
    """In the child: not one byte can be written to any file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def spools(place):
    """State folders in which no slot can be had, each with what is done in the child."""
    for name, in_child in {"read only": None, "a file": None, "full": full}.items():
        state = place.stack.data / f"state-{name.replace(' ', '-')}"
        state.mkdir(mode=0o700)
        spool = state / "spool"
        if name == "a file":
            spool.touch()
        else:
            spool.mkdir(mode=0o500 if name == "read only" else 0o700)
        for path in (state, spool):
            os.chown(path, *place.owner)
        yield name, {"state_dir": state}, in_child
    yield "missing", {"state_dir": place.stack.data / "nowhere/state"}, None


def test_no_slot_no_request(place):
    connection = place.connect("sim_never")
    before = connection.row()
    place.make_due(connection)
    for name, settings, in_child in spools(place):
        done = place.refresh(*connection.only, expect=None, before=in_child, **settings)
        assert done.code == 1 and done.err, (name, done)
        assert connection.books().asked == [], name
        row = connection.row()
        assert (row["state"], row["cause"], row["failures"], row["generation"]) == ("live", "none", 0, 1), (name, row)
        assert row["mints"] == before["mints"], (name, "counts as if it had been asked")
        connection.serves()
    place.make_due(connection)
    place.refresh(*connection.only)
    connection.whole(generation=2)


# --- the database goes away meanwhile


@pytest.fixture
def interrupted(place):
    """Calls back between the provider's answers and their commit: connections, the run, the database as it goes away."""
    connections = [place.connect(provider) for provider in ROTATIONS]

    @contextmanager
    def while_stopped(mode):
        place.make_due(*connections)
        for connection in connections:
            connection.fault(mode="hang")
        run = place.start(**PATIENT)
        for connection in connections:
            connection.wait_for_hang()
        with place.postgres.stopped(mode):
            place.sim.control("faults", method="DELETE")
            eventually(lambda: place.answers_spooled() == len(connections))
            yield connections, run
        eventually(lambda: place.stack.api("GET", "/readyz", key=None).status == 200)
        eventually(lambda: connections[0].token().status == 200)

    return while_stopped


def stored_as_answered(place, connections):
    """What the provider gave is what is served, and it was asked once."""
    for connection in connections:
        assert len(connection.books().asked) == 1, "asked again, though the answer was there"
        connection.whole(generation=2)
        connection.serves(connection.books().newest)
        connection.accounted()
    assert place.spooled() == []
    for connection in connections:
        connection.renews()


MODES = ["fast", "immediate"] if LONG else ["immediate"]


@pytest.mark.parametrize("mode", MODES)
def test_database_stopped_for_a_moment(place, interrupted, mode):
    """The run waits, and stores what it holds."""
    with interrupted(mode) as (connections, run):
        assert run.process.poll() is None
    assert run.wait().code in (0, 2)
    stored_as_answered(place, connections)


@pytest.mark.parametrize("mode", MODES)
def test_database_stopped_and_the_run_killed(place, interrupted, mode):
    """What was answered is in the spool, and the next run stores it."""
    with interrupted(mode) as (connections, run):
        assert run.kill().code == -signal.SIGKILL
    place.refresh(expect=None)
    stored_as_answered(place, connections)


@pytest.mark.skipif(not LONG, reason="half a minute of patience")
@pytest.mark.parametrize("mode", MODES)
def test_database_stopped_for_long(place, interrupted, mode):
    with interrupted(mode) as (connections, run):
        assert run.wait(90).code == 1
        assert place.answers_spooled() == len(connections)
    place.refresh(expect=None)
    stored_as_answered(place, connections)


@contextmanager
def half_written(place):
    """A run whose first token is on its way to the database and does not arrive, and that asks the provider on meanwhile."""
    connections = place.connect_many("sim_quick", 4)
    first, *others = connections
    first.fault(mode="hang", **FOREVER)
    place.make_due(*connections)
    place.sql("update vestal.connection set next_refresh_at = now() - interval '1 minute' where client_id = %s", first.id)
    run = place.start("--provider", "sim_quick", "--concurrency", "2", **PATIENT)
    first.wait_for_hang()
    database = place.stack.connect_database()
    try:
        database.cursor().execute(
            "begin; select from vestal.connection where client_id = %s for update", (first.id,))  # fmt: skip
        place.sim.control("faults", method="DELETE")
        held = eventually(lambda: held_statement(place), timeout_s=4)
        eventually(lambda: all(len(connection.books().asked) == 1 for connection in others), timeout_s=4)
        assert held_statement(place) == held, "nobody else was asked before it was given up"
        yield connections, run, held[0][0]
    finally:
        database.close()


def held_statement(place):
    """(backend, since when) of the refresher's statement that waits for a row."""
    return place.sql("select pid, query_start from pg_stat_activity"
                     " where application_name = 'vestal-refresh' and wait_event_type = 'Lock'")  # fmt: skip


def test_a_token_on_its_way_to_the_database_holds_nobody_up(place):
    with half_written(place) as (connections, run, _):
        pass
    assert run.wait().code in (0, 2)
    stored_as_answered(place, connections)


def test_the_database_lost_over_a_token_on_its_way(place):
    """Its commit was not done, and those of nobody else were sent: all of them are, once."""
    with half_written(place) as (connections, run, backend):
        place.sql("select pg_terminate_backend(%s)", backend)
        eventually(lambda: backend not in [pid for pid, _ in held_statement(place)])
    assert run.wait().code in (0, 2)
    stored_as_answered(place, connections)


def test_the_answer_lost_to_tokens_on_their_way(place):
    """Their commit was done, and nobody heard of it: it is not done again."""
    connections = place.connect_many("sim_quick", 4)
    place.make_due(*connections)
    assert place.refresh("--provider", "sim_quick", "--concurrency", "4", cut="K9", expect=None).code in (0, 2)
    stored_as_answered(place, connections)


def test_the_run_killed_over_a_token_on_its_way(place):
    """What it had sent is written or not; what it had answered is in the spool."""
    with half_written(place) as (connections, run, _):
        eventually(lambda: place.answers_spooled() == len(connections))
        assert run.kill().code == -signal.SIGKILL
    place.refresh(expect=None)
    stored_as_answered(place, connections)


def test_no_database_no_request(place):
    connection = place.connect("sim_strict")
    place.make_due(connection)
    with place.postgres.stopped():
        done = place.refresh(expect=1)
        assert "database" in done.err and connection.books().asked == []
    eventually(lambda: connection.token().status == 200)
    place.refresh(*connection.only)
    connection.whole(generation=2)


# --- something newer comes meanwhile


def test_authorized_again_while_a_renewal_is_slow(place):
    connection = place.own()
    place.make_due(connection)
    connection.fault(mode="hang", act=True)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    assert connection.connect()["generation"] == 2
    granted = connection.serves()
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    connection.whole(generation=2)
    connection.serves(granted)
    assert connection.events("token.renewed") == [] and len(connection.events("token.superseded")) == 1
    assert place.spooled() == []
    connection.renews()


@pytest.mark.parametrize("provider", ["sim_never", "sim_grace"])
def test_a_lease_that_ran_out_while_a_renewal_is_slow(place, provider):
    connection = place.connect(provider)
    place.make_due(connection)
    connection.fault(mode="hang", act=True)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    place.sql("update vestal.connection set lease_until = now() where client_id = %s", connection.id)
    place.refresh(*connection.only)
    newest = connection.serves(connection.books().newest)
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    connection.whole(generation=2)
    connection.serves(newest)
    assert len(connection.events("token.renewed")) == len(connection.events("token.superseded")) == 1
    assert place.spooled() == []
    connection.renews()


def test_told_to_stop(place):
    """What is on its way is waited for and stored; nothing new is begun."""
    connections = place.connect_many("sim_quick", 3)
    place.make_due(*connections)
    connections[0].fault(mode="hang", **FOREVER)
    run = place.start("--provider", "sim_quick", "--concurrency", "1", **PATIENT)
    connections[0].wait_for_hang()
    run.process.terminate()
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    assert sorted(len(connection.books().asked) for connection in connections) == [0, 0, 1]
    assert place.spooled() == [] and {connection.row()["lease_owner"] for connection in connections} == {None}
    place.refresh("--provider", "sim_quick")
    for connection in connections:
        connection.whole(generation=2)


def test_removed_while_a_renewal_is_slow(place):
    connection = place.own()
    place.make_due(connection)
    connection.fault(mode="hang", act=True)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    removed = place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": connection.provider})
    assert removed.status == 200
    place.sim.control("faults", method="DELETE")
    assert run.wait().code in (0, 2)
    row = connection.row()
    assert (row["state"], row["generation"], row["last_generation"], row["lease_owner"]) == ("missing", None, 1, None), row
    assert connection.events("token.renewed") == [] and len(connection.events("token.superseded")) == 1
    connection.token().problem(409, "reauthorization_required")
    assert not (place.runtime / f"env/{connection.id}.{connection.provider}.env").exists(), "it must not come back"
    assert connection.connect()["generation"] == 2


def test_a_refusal_of_the_old_token_does_not_end_the_new_grant(place):
    connection = place.own()
    place.make_due(connection)
    connection.fault(mode="hang")
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    place.sim.control("revoke", {"user": connection.user})
    assert connection.connect()["generation"] == 2
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    connection.whole(generation=2)
    connection.renews()


# --- processes killed at any time


def test_random_kills(place):
    """Three refreshers under load, one on another host, killed whenever it happens."""
    rounds, seed = (100 if LONG else 10), random.randrange(2**32)
    chance, other = random.Random(seed), place.another_host("third")
    connections = [connection for provider in ROTATIONS for connection in place.connect_many(provider, 5)]
    for provider in ROTATIONS:
        place.sim.control("settings", {"client_id": place.app(provider), "latency_ms": 15})
    losses = Counter()
    try:
        for number in range(1, rounds + 1):
            place.make_due(*connections)
            runs = [place.start(**how) for how in ({}, {}, other)]
            for run in runs:
                time.sleep(chance.uniform(0, 0.12))
                run.kill()
            losses.update(mend(place, connections))
            print(f"random kills: round {number} of {rounds}, seed {seed}")
        for how in ({}, other) * 2:  # each host settles what its own processes left
            place.make_due(*connections)
            place.refresh(expect=None, **how)
        losses.update(mend(place, connections))
        place.refresh(expect=None)
    finally:
        for provider in ROTATIONS:
            place.sim.control("settings", {"client_id": place.app(provider), "latency_ms": 0})
    assert place.spooled() == [] and place.spooled(other["state_dir"]) == []
    for connection in connections:
        row = connection.row()
        assert (row["state"], row["lease_owner"]) == ("live", None), (seed, row)
        connection.renews()
        connection.whole(generation=connection.row()["last_generation"])
        generations = [event["generation"] for event in connection.events("token.renewed")]
        assert len(set(generations)) == len(generations), (seed, generations)
        if connection.provider == "sim_strict":
            # A settling try may be killed as well, and is made again: tokens are counted, not presentations.
            reused = {token for token, _ in connection.books().reuses()}
            assert len(reused) == losses[connection.id], f"seed {seed}: spent tokens are presented but to settle"
    print(f"random kills: {rounds} rounds, seed {seed}, {losses.total()} reported losses")


def mend(place, connections):
    """Authorizes again what was lost, which only a strict provider's may be, and only when it is said. Whose."""
    lost = [c for c in connections if c.row()["state"] == "invalid"]
    for connection in lost:
        assert connection.provider == "sim_strict", connection.row()
        assert connection.verdict()[:3] == ("invalid", "ambiguous_rotation", "reauthorize"), connection.verdict()
        connection.connect()
    return [connection.id for connection in lost]


# --- clocks that are wrong


@pytest.mark.parametrize("clock_s", [-3600, 3600])
def test_clock_of_the_refresher(place, clock_s):
    due, waits, expired = place.connect_many("sim_quick", 3)
    place.make_due(due)
    place.pass_time(2000, waits)
    place.pass_time(3700, expired)
    only = ("--provider", "sim_quick")
    place.refresh(*only, clock_s=clock_s)
    assert [len(c.books().asked) for c in (due, waits, expired)] == [1, 0, 1], "premature or late"
    for connection in (due, expired):
        connection.whole(generation=2)
        row = connection.row()
        assert 3580 < row["lives_s"] <= 3600 and MARGIN_S <= row["lives_s"] - row["next_s"] <= 1.1 * MARGIN_S, row
        assert 3580 < connection.token().json["expires_in"] <= 3600
    for other_clock_s in (None, -clock_s):
        place.refresh(*only, clock_s=other_clock_s)
    assert [len(c.books().asked) for c in (due, waits, expired)] == [1, 0, 1], "renewed twice"

    due.fault(**text_of(429, Retry_After=900))
    place.make_due(due)
    place.refresh(*due.only, clock_s=clock_s)
    assert 870 <= due.row()["next_s"] <= 930, due.row()
    place.pass_time(930, due)
    place.refresh(*due.only, clock_s=-clock_s)
    due.whole(generation=3)


@pytest.mark.parametrize("clock_s", [-3600, 3600])
def test_clock_of_a_worker(place, clock_s):
    connection = place.connect("sim_quick")
    place.pass_time(1000, connection)
    with place.worker(clock_s=clock_s) as (_, path):
        answer = served(path, connection)
        assert 2580 < answer["expires_in"] <= 2600 and not answer["degraded"]
        assert connection.books().asked == [], "renewed, though it lives"
        let_run_out(connection)
        answer = served(path, connection)
        assert 3580 < answer["expires_in"] <= 3600 and answer["generation"] == 2
        assert served(path, connection)["generation"] == 2
    assert len(connection.books().asked) == 1
    connection.whole(generation=2)
    connection.serves(connection.books().newest)


def served(path, connection):
    out = ask_worker(path, connection)
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.startswith(b"Status: 200"), (head, body)
    return json.loads(body)


# --- noisy neighbours


def test_failing_connections_do_not_starve_others(place):
    """Each of 500 is refused slowly; the few of another provider go past them, at their own pace."""
    failing, calm = place.connect_many("sim_noisy", 500), place.connect_many("sim_calm", 40)
    app_id = failing[0].app_id
    place.sim.control("settings", {"client_id": app_id, "latency_ms": 1500})
    words = ["general_error", "internal_error", "strange_error", "other_error"]  # no five of a kind: the gate stays open
    place.sim.control("faults", [
        {"at": "token", "grant": "refresh", "client_id": app_id, "times": 1} | zoho(words[n % 4]) for n in range(1000)])  # fmt: skip
    earlier = {app: place.sim.ledger(app)["requests"] for app in (app_id, calm[0].app_id)}

    def times(app):  # of this test's; others may have asked with the same app
        return [row["time"] for row in place.sim.ledger(app)["requests"][len(earlier[app]) :] if row["grant"] == "refresh"]

    place.make_due(*failing)
    place.refresh("--provider", "sim_noisy", "--concurrency", "10", "--deadline", "1", expect=None)
    place.make_due(*failing, *calm)  # of the failing ones some have failed before, others not yet
    place.refresh("--concurrency", "10", "--deadline", "5", expect=None)
    starved = [name for name, count in all_events(calm, "token.renewed").items() if not count]
    assert not starved, f"{len(starved)} of 40 starved behind 500 that fail"
    assert 0 < len(times(app_id)) < 500, f"{len(times(app_id))}: the failing ones were no burden"
    took_s = max(times(calm[0].app_id)) - min(times(calm[0].app_id))
    assert took_s < 2, f"40 renewals of a few milliseconds each took {took_s:.1f} s"
    place.retire(*failing)
    place.refresh("--provider", "sim_calm")  # the other stores, which a run that is cut short leaves to the next
    for connection in calm:
        connection.whole(generation=2)


# --- a certified provider that rotates


class OidcConnection(OidcTenant):
    def __init__(self, place, oidc):
        super().__init__((place.stack, oidc), OIDC)


def test_rotation_at_a_certified_provider(place, tmp_path):
    redirect = f"{place.stack.env['VESTAL_URL']}/api/oauth/callback/{OIDC}"
    secret = f"{MARKER}{secrets.token_hex(12)}"
    oidc = OidcProvider(install(TREE / "build/oidc"), tmp_path, place.oidc_port, [redirect], secret)
    try:
        place.stack.ctl("app", "set", OIDC, "--client-id", oidc.client_id, "--client-secret-file", "-",
                        "--redirect-uri", redirect, stdin=secret + "\n")  # fmt: skip
        tenant = OidcConnection(place, oidc)
        tenant.connect()
        for number in range(1, 11):
            place.make_due(tenant)
            place.refresh("--client", tenant.id)
            tokens, refreshes = tenant.issued("AccessToken"), tenant.issued("RefreshToken")
            assert len(tokens) == len(refreshes) == number + 1 and tokens[-1]["alive"]
            assert [row["consumed"] for row in refreshes] == [True] * number + [False], "presented twice, or not rotated"
            tenant.unchanged(generation=number + 1)
    finally:
        oidc.stop()


# --- last: what all this has left behind


def test_nothing_leaked(place):
    """Runs last in this file, over all that it has caused."""
    tokens = place.sim.ledger()["tokens"]
    values = {kind: {row["value"] for row in tokens if row["kind"] == kind} for kind in ("access", "refresh")}
    wanted = leaks.needles(values | {"secret": {MARKER}})
    assert len(values["access"]) > 500
    others = [place.stack.data / name for name in ("state-second", "state-third") if (place.stack.data / name).exists()]
    assert leaks.search_files(wanted, [*place.stack.log_files(), place.state, *others]) == set()
    found = leaks.search_files(wanted, [place.runtime])
    assert {label for _, label in found} == {"access"}, "environment files hold access tokens and nothing else"
