"""The routes that renew, with real parts: a read renews once for all who ask meanwhile, a provider that hangs stops
nobody, a living token is never withheld, and however many report a token, it is renewed once. What really happened is
asked of the simulator's books."""

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from frames import cgi
from harness import LONG, TREE, Stack, Tenant, addresses, down, eventually, free_port, up
from renewal_harness import Place, definitions, kill_process, no_fault_left  # noqa: F401
from sim_harness import Sim
from test_kill_points import ask_worker
from test_nginx import TOKEN, Front, check_own_problem, check_workers_answer, http_request, worker_answer

TIMEOUT_S, LEASE_S, WORKERS = 6, 20, 4
SHORT_S = 30
CROWD = 400 if LONG else 200
FOREVER = {"times": 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A stack with a provider pool of four, so that one may wait and two may renew at one provider."""
    folder, port = tmp_path_factory.mktemp("tokens"), free_port()
    program = [sys.executable, str(TREE / "tests/sim/zoho_sim.py"), "serve", "--port", str(port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("listening")
            (folder / "definitions").mkdir()
            definitions(folder / "definitions", port, free_port())
            up(folder / "stack", "--no-demo", "--port", str(free_port()), "--workers", str(WORKERS),
               "--providers", str(folder / "definitions"), "--set", "rate_per_key=0", "--set", "rate_per_address=0",
               "--set", "rate_admin_actions=0", "--set", f"provider_timeout_s={TIMEOUT_S}", "--set", f"lease_s={LEASE_S}")  # fmt: skip
            yield Place(Stack(folder / "stack"), Sim(port), None)
            down(folder / "stack", "--remove")
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def calm(place):
    """What one test did to the providers' gates, no other meets; and no worker stays behind in a place."""
    yield
    for provider in ("zoho_crm", "zoho_calendar", "sim_calm", "sim_quick"):
        place.calm(provider)
    eventually(lambda: taken(place) == [])


def run_out(connection, seconds=SHORT_S):
    """The token lives so much longer; nothing else is changed."""
    connection.stack.sql(
        "update vestal.token t set expires_at = now() + make_interval(secs => %s) from vestal.connection c"
        " where c.id = t.connection_id and c.client_id = %s and c.provider = %s", seconds, connection.id, connection.provider)  # fmt: skip


def forget_try(connection):
    """The last try was more than 30 seconds ago."""
    connection.stack.sql(
        "update vestal.connection set tried_at = tried_at - interval '31 seconds' where client_id = %s", connection.id
    )


def report(connection, generation=1, key=""):
    body = {"provider": connection.provider, "generation": generation}
    return connection.stack.api("POST", f"/api/oauth/token/{connection.id}/rejected", body, key=key)


def refresh(connection, key=""):
    return connection.stack.api("POST", f"/api/oauth/refresh/{connection.id}", {"provider": connection.provider}, key=key)


def reads(connection):
    """(outcome, generation, reason, degraded) of the events of reads, in order."""
    return [(e["outcome"], e["generation"], e["reason"], e["detail"].get("degraded")) for e in connection.events("token.read")]


def retry_after(answer, least, most):
    assert least <= int(answer.headers["Retry-After"]) <= most, answer.headers["Retry-After"]


def taken(place):
    """The places that somebody holds."""
    held = []
    for path in (place.runtime / "places").glob("*"):
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.append(path.name)
        finally:
            os.close(fd)
    return sorted(held)


class Crowd:
    """Many callers at once, and their answers as they come."""

    def __init__(self, call, count):
        self.answers, self.lock = [], threading.Lock()
        self.threads = [threading.Thread(target=self.one, args=(call,)) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def one(self, call):
        answer = call()
        with self.lock:
            self.answers.append(answer)

    def all(self):
        for thread in self.threads:
            thread.join()
        return self.answers

    def wait_for(self, count, timeout_s=20):
        eventually(lambda: len(self.answers) >= count, timeout_s)


@contextmanager
def hanging(connection, **more):
    """The provider takes every refresh of this app, and says nothing until the block ends; nothing is done before."""
    connection.fault(mode="hang", **FOREVER, **more)
    try:
        yield
    finally:
        connection.sim.control("faults", method="DELETE")


# --- a read that renews


def test_a_short_token_is_renewed_first(place):
    connection = place.own()
    run_out(connection)
    answer = connection.token()
    assert answer.status == 200 and answer.headers["ETag"] == '"2"', answer
    assert (answer.json["generation"], answer.json["degraded"]) == (2, False) and 3500 < answer.json["expires_in"] <= 3600
    books = connection.books()
    assert len(books.asked) == 1 and answer.json["access_token"] == books.newest
    connection.whole(generation=2)
    assert reads(connection) == [("ok", 2, None, False)]
    (event,) = connection.events("token.renewed")
    assert event["actor"] == "key:" + place.stack.key.split("_")[1] and event["detail"]["why"] == "read"
    assert event["request_id"] == answer.headers["X-Request-Id"], "the read that found it out renewed it"


def test_a_token_that_lives_long_enough_is_not(place):
    connection = place.own()
    run_out(connection, 90)
    assert connection.token().json["degraded"] is False
    run_out(connection, 20)
    assert connection.token(min_ttl=10).json["degraded"] is False
    assert connection.books().asked == [] and len(reads(connection)) == 2


def test_min_ttl_decides_how_long_is_long_enough(place):
    connection = place.own()
    run_out(connection, 1000)
    assert connection.token(min_ttl=900).json["generation"] == 1
    answer = connection.token(min_ttl=1100)
    assert (answer.json["generation"], answer.json["degraded"]) == (2, False)
    assert connection.token(min_ttl=3601).problem(400, "invalid_input") == ["min_ttl"]
    assert len(connection.books().asked) == 1


def test_an_expired_token_is_renewed(place):
    connection = place.own()
    run_out(connection, -5)
    assert connection.token().json["generation"] == 2
    assert reads(connection) == [("ok", 2, None, False)]


def test_etag_over_a_renewal(place):
    connection = place.own()

    def read(known):
        headers = [("Authorization", f"Bearer {place.stack.key}"), ("If-None-Match", known)]
        return place.stack.request("GET", f"/api/oauth/token/{connection.id}?provider=zoho_crm", headers=headers)

    assert read('"1"').status == 304
    run_out(connection)
    renewed = read('"1"')
    assert (renewed.status, renewed.headers["ETag"], renewed.json["generation"]) == (200, '"2"', 2)
    assert read('"2"').status == 304 and read('"1", "2"').status == 304
    connection.fault(mode="status", status=500, **FOREVER)
    run_out(connection)
    forget_try(connection)
    unchanged = read('"2"')  # it could not be renewed, and is still the one the caller has
    assert (unchanged.status, unchanged.headers["ETag"]) == (304, '"2"')
    assert len(connection.books().asked) == 2


# --- what may be tried now

# What is changed of a living connection whose token lives 30 seconds; whether a read of it is sent to be renewed.
TRIED = {
    "nothing": ("", True),
    "due": ("c.next_refresh_at = now() - interval '1 hour'", True),
    "tried lately": ("c.tried_at = now() - interval '29 seconds'", False),
    "tried before": ("c.tried_at = now() - interval '31 seconds'", True),
    "leased": ("c.lease_until = now() + interval '5 seconds', tried_at = now()", True),
    "lease over": ("c.lease_until = now() - interval '1 second', tried_at = now() - interval '20 seconds'", False),
    "passive": ("c.passive = true", False),
    "nothing to renew": ("c.next_refresh_at = null", False),
    "invalid": ("c.state = 'invalid'", False),
    "quarantined": ("c.state = 'quarantined'", False),
    "quota": ("c.deferred_by = 'quota', next_refresh_at = now() + interval '5 minutes'", False),
    "rate": ("c.deferred_by = 'rate', next_refresh_at = now() + interval '5 minutes'", False),
    "refusal": ("c.deferred_by = 'refusal', next_refresh_at = now() + interval '2 minutes'", False),
    "refusal is over": ("c.deferred_by = 'refusal', next_refresh_at = now()", True),
    "backoff": ("c.deferred_by = 'backoff', next_refresh_at = now() + interval '15 minutes'", True),
    "gate": ("c.deferred_by = 'gate', next_refresh_at = now() + interval '5 minutes'", True),
    "no refresh token": ("t.refresh_sealed = null", False),
    "lives long enough": ("t.expires_at = now() + interval '61 seconds'", False),
    "without end": ("t.expires_at = null", False),
    "expired": ("t.expires_at = now() - interval '1 day'", True),
    "open": ("s.state = 'open', retry_at = now() + interval '30 seconds'", False),
    "open, to be tried": ("s.state = 'open', retry_at = now()", True),
    "half open": ("s.state = 'half_open', retry_at = now() + interval '30 seconds'", False),
    "half open, given up": ("s.state = 'half_open', retry_at = now()", True),
    "app's open": ("a.state = 'open', retry_at = now() + interval '30 seconds'", False),
    "app's open, to be tried": ("a.state = 'open', retry_at = now()", True),
    "another app's open": ("o.state = 'open', retry_at = now() + interval '30 seconds'", True),
}
TABLES = {
    "c": "update vestal.connection x set {} where id = %(id)s",
    "t": "update vestal.token x set {} where connection_id = %(id)s",
    "s": "update vestal.provider_state x set {} where provider = 'zoho_crm' and datacenter = 'us' and app_id is null",
    "a": "insert into vestal.provider_state (provider, datacenter, app_id) select provider, datacenter, app_id from"
         " vestal.connection where id = %(id)s; update vestal.provider_state x set {} where app_id ="
         " (select app_id from vestal.connection where id = %(id)s)",
    "o": "insert into vestal.provider_state (provider, datacenter, app_id) select provider, datacenter, app_id from"
         " vestal.connection where id = %(other)s; update vestal.provider_state x set {} where app_id ="
         " (select app_id from vestal.connection where id = %(other)s)",
}  # fmt: skip


def test_what_a_read_has_tried_first(place):
    """The statement itself, every case in a transaction that is rolled back: what has to be renewed is neither served
    nor noted, and the same read without the question is."""
    connection, other = place.own(), place.own()
    run_out(connection)
    ids = {"id": connection.row()["id"], "other": other.row()["id"]}
    text = "".join(line for line in (TREE / "sql/queries/token/read.sql").open() if not line.startswith("--"))
    wrong = []
    for name, (change, wanted) in TRIED.items():
        for asked in (True, False):
            database = place.stack.connect_database()
            database.autocommit = False
            with database.cursor() as cursor:
                if change:
                    cursor.execute(TABLES[change[0]].format(change[2:]), ids)
                cursor.execute("set role vestal_worker")
                cursor.execute("prepare reading as " + text)
                cursor.execute("execute reading (%s, 'zoho_crm', '{}', 60, false, 'p', 'r-try', 'a', 'b', null, null, 'h', %s, null, null)",
                               (connection.id, asked))  # fmt: skip
                row = cursor.fetchone()
                cursor.execute("reset role")
                cursor.execute("select count(*) from vestal.audit_event where request_id = 'r-try'")
                served, needed, noted = row[9], row[10], cursor.fetchone()[0]
            database.close()
            lives = name not in ("expired",)
            if (needed, served, noted) != (wanted and asked, lives and not (wanted and asked), int(lives and not (wanted and asked))):
                wrong.append((name, asked, needed, served, noted))
    assert wrong == []


# --- in trouble


def test_a_living_token_is_served_degraded(place):
    connection = place.own()
    connection.fault(mode="status", status=500, **FOREVER)
    run_out(connection)
    answer = connection.token()
    assert answer.status == 200 and (answer.json["generation"], answer.json["degraded"]) == (1, True)
    assert 0 < answer.json["expires_in"] <= SHORT_S
    strict = connection.token(min_ttl=60)
    strict.problem(503, "token_unavailable")
    retry_after(strict, 1, 30)
    assert connection.issued()[-1] not in strict.body.decode()
    run_out(connection, -1)
    dead = connection.token()
    dead.problem(503, "token_unavailable")
    retry_after(dead, 1, 30)
    assert reads(connection) == [
        ("ok", 1, None, True), ("denied", None, "token_unavailable", None), ("denied", None, "token_unavailable", None),
    ]  # fmt: skip
    assert len(connection.books().asked) == 1, "at most one try in 30 seconds"


def test_at_most_one_try_in_30_seconds(place):
    connection = place.own()
    connection.fault(mode="status", status=500, **FOREVER)
    run_out(connection)
    for tries in (1, 2, 3):
        assert [connection.token().json["degraded"] for _ in range(3)] == [True] * 3
        assert len(connection.books().asked) == tries
        forget_try(connection)
    connection.sim.control("faults", method="DELETE")
    assert connection.token().json["generation"] == 2
    connection.whole(generation=2)


def test_a_quota_is_not_tried_against(place):
    """Readers may use half of the provider's quota; then what lives is served, and the wait is told."""
    connection = place.own()
    place.sql("update vestal.connection set mints = array_fill(now() - interval '60 seconds', array[5]) where client_id = %s",
              connection.id)  # fmt: skip
    run_out(connection)
    assert connection.token().json["degraded"] is True
    strict = connection.token(min_ttl=60)
    strict.problem(503, "token_unavailable")
    retry_after(strict, 1, 30)
    assert connection.books().asked == []


def test_a_revoked_grant(place):
    """The living token is served as long as it lives; then it is a person's turn."""
    connection = place.own("sim_calm")
    run_out(connection)
    connection.sim.control("revoke", {"client_id": connection.app_id})
    assert connection.token().json["degraded"] is True
    assert connection.row()["state"] == "invalid"
    assert connection.token(min_ttl=10).json["degraded"] is True, "it lives as long as was asked"
    connection.token(min_ttl=60).problem(409, "reauthorization_required")
    run_out(connection, -1)
    answer = connection.token()
    answer.problem(409, "reauthorization_required")
    assert "Retry-After" not in answer.headers
    assert len(connection.books().asked) == 1, "a dead grant is not retried"


def test_what_nothing_can_renew_is_a_person_s(place):
    connection = place.own("sim_calm")
    place.sql("update vestal.token t set refresh_sealed = null from vestal.connection c"
              " where c.id = t.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    run_out(connection)
    assert connection.token().json["degraded"] is True
    run_out(connection, -1)
    connection.token().problem(409, "reauthorization_required")
    refresh(connection).problem(409, "reauthorization_required")
    report(connection).problem(409, "reauthorization_required")
    assert connection.books().asked == []


def test_a_token_in_doubt_serves_as_long_as_it_lives(place):
    connection = place.own("sim_calm")
    place.sql("update vestal.connection set state = 'quarantined', cause = 'ambiguous_rotation' where client_id = %s", connection.id)
    for query in ({}, {"min_ttl": 3000}):
        assert connection.token(**query).json["degraded"] is True
    run_out(connection, -1)
    answer = connection.token()
    answer.problem(503, "token_unavailable")  # the next run tries it once
    retry_after(answer, 1, 30)
    assert connection.books().asked == []


def test_without_a_spool_nothing_is_asked_and_what_lives_is_served(place):
    connection = place.own()
    run_out(connection)
    blocked = place.stack.data / "no-state"
    blocked.mkdir(exist_ok=True)
    os.chown(blocked, *place.owner)
    (blocked / "spool").write_text("a file where a folder should be")
    with place.worker(state_dir=blocked) as (_, path):
        answer = ask_worker(path, connection)
    assert answer.startswith(b"Status: 200 ") and b'"degraded":true' in answer
    assert connection.books().asked == []
    assert connection.token().json["generation"] == 2


def test_a_database_that_goes_away_meanwhile_loses_nothing(place):
    connection = place.own("sim_calm")
    run_out(connection, -5)
    with ThreadPoolExecutor() as pool, hanging(connection):
        answer = pool.submit(connection.token)
        connection.wait_for_hang()
        with place.postgres.stopped("immediate"):
            connection.sim.control("faults", method="DELETE")
            eventually(lambda: connection.books().mints)
        assert answer.result().status in (200, 503)
    eventually(lambda: place.stack.api("GET", "/readyz", key=None).status == 200)
    assert eventually(lambda: connection.token().status == 200 and connection.token().json)["generation"] == 2
    assert len(connection.books().asked) == 1
    connection.accounted()


def test_a_worker_that_is_killed_over_it_withholds_nothing(place):
    """nginx asks the fast pool for the token as it is; whoever wants it renewed asks again."""
    connection, dead = place.own(), place.own("zoho_calendar")
    run_out(connection)
    run_out(dead, -5)
    with hanging(connection):
        dead.fault(mode="hang", **FOREVER)
        crowd = Crowd(iter_calls([connection.token, dead.token, lambda: report(connection)]), 3)
        place.sim.control("wait", {"at": "hang", "count": 2})
        eventually(lambda: "wait.0" in taken(place))
        for pid in place.stack.workers("provider"):
            kill_process(pid)
        answers = {answer.status: answer for answer in crowd.all()}
    assert set(answers) == {200, 502, 503}, answers
    assert (answers[200].json["generation"], answers[200].json["degraded"]) == (1, True)
    answers[503].problem(503, "token_unavailable")  # the one whose token is dead
    answers[502].problem(502, "bad_gateway")  # the report
    eventually(lambda: len(place.stack.workers("provider")) == WORKERS)
    begun = time.monotonic()
    assert connection.token().json["degraded"] is True
    assert time.monotonic() - begun < LEASE_S / 2, "the lease of a worker that was killed here is waited for"
    for one in (connection, dead):
        forget_try(one)
        assert one.token().json["generation"] == 2
    assert reads(connection) == [("ok", 1, None, True), ("ok", 1, None, True), ("ok", 2, None, False)]


@pytest.fixture(scope="module")
def front():
    """nginx alone, before workers that answer as a test likes."""
    with tempfile.TemporaryDirectory(prefix="vestal-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        front = Front(folder, TRUSTED_PROXIES="")
        yield front
        front.stop()


@pytest.mark.parametrize("trouble", ["hangs up", "takes too long", "is not there"])
def test_a_read_whose_renewal_comes_to_nothing_is_served_as_it_is(front, trouble):
    fast, provider, answered = front.pools["fast"], front.pools["provider"], threading.Event()
    for pool in (fast, provider):
        pool.seen.clear()
    fast.answer = lambda params, body: worker_answer(200) if "VESTAL_AS_IT_IS" in params else cgi(521)
    provider.answer = lambda params, body: (answered.wait(20 if trouble == "takes too long" else 0), None)[1]
    if trouble == "is not there":
        provider.path.rename(f"{provider.path}.away")
    try:
        sent = http_request("GET", f"{TOKEN}?provider=p", 'If-None-Match: "6"', "Vestal-As-It-Is: 1")
        check_workers_answer(front.ask(sent, next(addresses)), 200)
        (first, _), (last, _) = fast.seen
        assert last == first | {"VESTAL_AS_IT_IS": "1"} and len(provider.seen) == (trouble != "is not there")
        fast.answer = lambda params, body: cgi(521) if "VESTAL_AS_IT_IS" not in params else None
        check_own_problem(front.ask(sent, next(addresses)), 502, "bad_gateway")
        if trouble == "hangs up":  # what changes something is not asked for twice
            provider.seen.clear()
            check_own_problem(front.ask(http_request("POST", f"{TOKEN}/rejected"), next(addresses)), 502, "bad_gateway")
            assert len(provider.seen) == 1
    finally:
        answered.set()
        if trouble == "is not there":
            Path(f"{provider.path}.away").rename(provider.path)


# --- many at once


def check_crowd(connection, answers):
    """Everybody got the new token, the living old one as degraded, or a time to come back; each read is one event."""
    served = [answer for answer in answers if answer.status == 200]
    for answer in served:
        assert (answer.json["generation"], answer.json["degraded"]) in ((2, False), (1, True)), answer
    for answer in answers:
        if answer.status != 200:
            answer.problem(503, "token_unavailable")
            retry_after(answer, 1, 30)
    events = connection.events("token.read")
    assert sorted(e["request_id"] for e in events) == sorted(a.headers["X-Request-Id"] for a in answers)
    assert sum(e["outcome"] == "ok" for e in events) == len(served)
    assert len(connection.books().asked) == 1, connection.books()
    assert len(connection.events("token.renewed")) == 1
    return served


def test_fifty_readers_of_a_short_token(place):
    connection = place.own()
    run_out(connection)
    answers = Crowd(connection.token, 50).all()
    assert len(check_crowd(connection, answers)) == 50, "a living token is withheld"
    assert connection.token().json["generation"] == 2


def test_fifty_readers_of_an_expired_token(place):
    """With a provider that answers, nobody goes away with nothing: what began a moment ago is waited for."""
    connection = place.own()
    run_out(connection, -5)
    answers = Crowd(connection.token, 50).all()
    served = check_crowd(connection, answers)
    assert {answer.json["generation"] for answer in served} == {2}
    assert len(served) >= 45, [answer.status for answer in answers]


def test_a_hanging_provider_stops_nobody(place):
    """One worker is with the provider, one waits for it; everybody else is answered meanwhile: the other readers of the
    same connection, readers of others, one who needs another renewal, a person at the end of a consent."""
    connection, calm, other = place.own(), place.own(), place.own("zoho_calendar")
    newcomer = Tenant(place.stack, place.sim)
    target = newcomer.consent(newcomer.begin())
    workers = place.stack.workers()
    run_out(connection)
    run_out(other)
    with hanging(connection):
        first = Crowd(connection.token, 1)
        connection.wait_for_hang()
        crowd = Crowd(connection.token, CROWD - 1)
        crowd.wait_for(CROWD - 2)
        assert {(a.status, a.json["generation"], a.json["degraded"]) for a in crowd.answers} == {(200, 1, True)}
        assert taken(place) == ["away.0", "away.1", "renew.zoho_crm.0", "wait.0"] and not first.answers
        assert calm.token().json["degraded"] is False
        assert other.token().json["generation"] == 2
        assert newcomer.callback(target).status == 200
        assert sorted(place.stack.workers()) == sorted(workers)
    answers = first.all() + crowd.all()
    assert [a.json["generation"] for a in answers].count(2) == 2, "the one who renewed, and the one who waited"
    check_crowd(connection, answers)
    assert sorted(place.stack.workers()) == sorted(workers)


def test_a_hanging_provider_and_nothing_to_serve(place):
    connection = place.own()
    run_out(connection, -5)
    with hanging(connection):
        first = Crowd(connection.token, 1)
        connection.wait_for_hang()
        begun = time.monotonic()
        crowd = Crowd(connection.token, 100)
        crowd.wait_for(99, TIMEOUT_S)
        assert time.monotonic() - begun < TIMEOUT_S - 1, "they waited for the provider"
        for answer in crowd.answers:
            answer.problem(503, "token_unavailable")
            retry_after(answer, 1, 5)
    answers = first.all() + crowd.all()
    assert sum(answer.status == 200 for answer in check_crowd(connection, answers)) == 2


def test_a_hanging_provider_leaves_room_for_another(place):
    """No more than half of the pool renews at one provider, so that there is a place for the others' renewals."""
    crm, calendar = [place.own() for _ in range(3)], place.own("zoho_calendar")
    for connection in crm:
        run_out(connection)
        connection.fault(mode="hang", **FOREVER)
    away = Crowd(iter_calls([connection.token for connection in crm[:2]]), 2)
    place.sim.control("wait", {"at": "hang", "count": 2})
    run_out(calendar)
    assert crm[2].token().json["degraded"] is True
    assert calendar.token().json["generation"] == 2
    assert report(calendar, 2).json == {"generation": 3, "renewed": True}
    assert not away.answers
    place.sim.control("faults", method="DELETE")
    assert [answer.json["generation"] for answer in away.all()] == [2, 2]
    assert [len(connection.books().asked) for connection in crm] == [1, 1, 0]


def test_two_hanging_providers_leave_a_worker(place):
    """Two renewals at one provider, one at the other; the fourth worker answers all the rest, hoping for a moment."""
    crm = [place.own() for _ in range(3)]
    calendar = [place.own("zoho_calendar") for _ in range(2)]
    for connection in crm + calendar:
        run_out(connection)
        connection.fault(mode="hang", **FOREVER)
    away = Crowd(iter_calls([c.token for c in crm[:2] + calendar[:1]]), 3)
    place.sim.control("wait", {"at": "hang", "count": 3})
    for connection in (crm[2], calendar[1]):
        assert connection.token().json["degraded"] is True
        answer = report(connection)
        answer.problem(503, "token_unavailable")
        retry_after(answer, 1, 5)
    assert len(taken(place)) == 6 and not away.answers
    place.sim.control("faults", method="DELETE")
    assert [answer.json["generation"] for answer in away.all()] == [2, 2, 2]
    assert [len(connection.books().asked) for connection in crm + calendar] == [1, 1, 0, 1, 0]


def iter_calls(calls):
    """One of the calls for each caller."""
    left, lock = list(calls), threading.Lock()

    def one():
        with lock:
            call = left.pop(0)
        return call()

    return one


@pytest.mark.parametrize("holder", ["a reader", "the refresher", "an administrator"])
def test_a_waiter_is_woken_by_the_commit(place, holder):
    connection = place.own()
    run_out(connection)
    place.make_due(connection)
    hold = {
        "a reader": lambda: connection.token(),
        "the refresher": lambda: place.refresh("--client", connection.id),
        "an administrator": lambda: refresh(connection),
    }[holder]
    with hanging(connection):
        held = Crowd(hold, 1)
        connection.wait_for_hang()
        waiter = Crowd(lambda: connection.token(min_ttl=300), 1)
        eventually(lambda: "wait.0" in taken(place))
        assert not waiter.answers
    begun = time.monotonic()
    (answer,) = waiter.all()
    assert answer.status == 200 and answer.json["generation"] == 2
    assert time.monotonic() - begun < 3, "it slept until the lease ended"
    held.all()
    assert len(connection.books().asked) == 1


def test_a_waiter_is_told_of_a_renewal_that_failed(place):
    connection = place.own()
    run_out(connection)
    connection.fault(mode="hang")
    held = Crowd(connection.token, 1)
    connection.wait_for_hang()
    waiter = Crowd(lambda: connection.token(min_ttl=300), 1)
    eventually(lambda: "wait.0" in taken(place))
    (answer,) = waiter.all()  # the provider's time is up long before the lease
    answer.problem(503, "token_unavailable")
    retry_after(answer, 1, 30)
    assert held.all()[0].json["degraded"] is True
    assert len(connection.books().asked) == 1


# --- reports


def test_a_report_leads_to_a_new_token(place):
    connection = place.own()
    answer = report(connection)
    assert answer.status == 200 and answer.json == {"generation": 2, "renewed": True}
    connection.whole(generation=2)
    (event,) = connection.events("token.rejected")
    assert (event["generation"], event["outcome"]) == (1, "ok") and event["request_id"] == answer.headers["X-Request-Id"]
    assert report(connection).json == {"generation": 2, "renewed": False}
    assert report(connection, 3).problem(400, "invalid_input") == ["generation"]
    assert len(connection.books().asked) == 1 and len(connection.events("token.rejected")) == 1


def test_fifty_reports_lead_to_one_renewal(place):
    connection = place.own()
    key = place.stack.new_key("service", "--client", connection.id)
    answers = Crowd(lambda: report(connection, key=key), 50).all()
    for answer in answers:
        if answer.status == 200:
            assert answer.json["generation"] == 2
        else:
            answer.problem(503, "token_unavailable")
            retry_after(answer, 1, 30)
    assert sum(answer.status == 200 for answer in answers) >= 45, [answer.status for answer in answers]
    assert any(answer.status == 200 and answer.json["renewed"] for answer in answers)
    assert len(connection.books().asked) == 1
    connection.whole(generation=2)


def test_a_report_while_somebody_renews_waits_for_it(place):
    connection = place.own()
    run_out(connection)
    with hanging(connection):
        held = Crowd(connection.token, 1)
        connection.wait_for_hang()
        waiter = Crowd(lambda: report(connection), 1)
        eventually(lambda: "wait.0" in taken(place))
        answer = report(connection)
        answer.problem(503, "token_unavailable")
        retry_after(answer, 1, 5)
    assert waiter.all()[0].json == {"generation": 2, "renewed": True}
    held.all()
    assert len(connection.books().asked) == 1


def test_a_report_of_what_cannot_be_renewed(place):
    connection = place.own("sim_calm")
    connection.fault(mode="status", status=500)
    answer = report(connection)
    answer.problem(503, "token_unavailable")
    retry_after(answer, 1, 30)
    assert connection.token().json["generation"] == 1, "what lives is served all the same"
    forget_try(connection)
    connection.sim.control("revoke", {"client_id": connection.app_id})
    report(connection).problem(409, "reauthorization_required")
    report(connection).problem(409, "reauthorization_required")
    assert len(connection.books().asked) == 2
    place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": connection.provider})
    report(connection).problem(409, "reauthorization_required")
    assert report(connection, 2).problem(400, "invalid_input") == ["generation"]


# --- by hand


def test_renewed_by_hand(place):
    connection = place.own()
    key = place.stack.new_key("operator", "--client", connection.id)
    answer = refresh(connection, key=key)
    assert answer.status == 200 and answer.json == {
        "clientId": connection.id, "provider": "zoho_crm", "status": "healthy", "generation": 2, "renewed": True,
    }  # fmt: skip
    connection.whole(generation=2)
    (event,) = connection.events("token.renewed")
    assert event["actor"] == "key:" + key.split("_")[1] and event["detail"]["why"] == "admin"


def test_by_hand_while_somebody_renews(place):
    connection = place.own()
    run_out(connection)
    with hanging(connection):
        held = Crowd(connection.token, 1)
        connection.wait_for_hang()
        waiter = Crowd(lambda: refresh(connection), 1)
        eventually(lambda: "wait.0" in taken(place))
    answer = waiter.all()[0]
    assert answer.status == 200 and (answer.json["generation"], answer.json["renewed"]) == (2, True)
    held.all()
    assert len(connection.books().asked) == 1


def test_by_hand_not_against_the_quota(place):
    connection = place.own()
    place.sql("update vestal.connection set mints = array_fill(now() - interval '60 seconds', array[5]) where client_id = %s",
              connection.id)  # fmt: skip
    answer = refresh(connection)
    answer.problem(503, "renewal_deferred")
    retry_after(answer, 400, 600)
    assert "quota" in answer.json["detail"] and connection.books().asked == []


def test_by_hand_in_vain(place):
    connection = place.own("sim_calm")
    connection.fault(mode="status", status=500)
    answer = refresh(connection)
    answer.problem(502, "provider_unavailable")
    retry_after(answer, 1, 30)
    assert connection.token().json["generation"] == 1


def test_by_hand_with_wrong_app_credentials(place):
    connection = place.own("sim_quick")
    redirect = f"{place.stack.env['VESTAL_URL']}/api/oauth/callback/sim_quick"
    place.sim.client(connection.app_id, client_secret="another", redirect_uris=[redirect])
    answer = refresh(connection)
    answer.problem(422, "token_refused")
    assert connection.token().status == 200
    deferred = refresh(connection)
    deferred.problem(503, "renewal_deferred")
    retry_after(deferred, 1, 600)


def test_by_hand_of_a_dead_grant(place):
    connection = place.own("sim_calm")
    connection.sim.control("revoke", {"client_id": connection.app_id})
    for _ in range(2):
        refresh(connection).problem(409, "reauthorization_required")
    assert len(connection.books().asked) == 1
    never = Tenant(place.stack, place.sim)
    never.begin()
    refresh(never).problem(409, "reauthorization_required")


# --- who may


def known_key(place, connection, *more):
    """A service's key that every worker of the pool has recognised before."""
    key = place.stack.new_key("service", "--client", connection.id, *more)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: connection.token(key=key).status, range(200)))
    assert set(answers) == {200}
    return key


@pytest.mark.parametrize("end", [
    "revoked_at = now()", "expires_at = now()", "addresses = '{192.0.2.0/24}'", "hash = sha256('another')",
])  # fmt: skip
def test_a_key_that_was_known_ends_at_once(place, end):
    connection = place.own()
    key = known_key(place, connection)
    place.sql(f"update vestal.api_key set {end} where id = %s", key.split("_")[1])
    served = len(reads(connection))
    for _ in range(40):
        connection.token(key=key).problem(401, "unauthenticated")
    assert len(reads(connection)) == served, "and nothing was read"
    connection.token(key=key, min_ttl=99_999_999).problem(401, "unauthenticated")
    other = place.own()
    other.token(key=key).problem(401, "unauthenticated")
    refused = place.sql("select distinct reason from vestal.audit_event where action = 'auth.failed' and key_id = %s"
                        " and reason <> 'client_unknown'", key.split("_")[1])  # fmt: skip
    assert refused == [("wrong secret",)] if "hash" in end else [("unknown",)]


def test_a_known_key_of_yesterday_is_used_today(place):
    connection = place.own()
    key = known_key(place, connection)
    place.sql("update vestal.api_key set last_used_on = current_date - 1 where id = %s", key.split("_")[1])
    assert connection.token(key=key).status == 200
    assert place.sql("select last_used_on = current_date from vestal.api_key where id = %s", key.split("_")[1]) == [(True,)]


def test_a_known_key_sees_what_is_not_there(place):
    connection = place.own()
    key = place.stack.new_key("service", "--all-clients")
    for _ in range(20):
        assert connection.token(key=key).status == 200
    nobody = Tenant.__new__(Tenant)
    nobody.stack, nobody.id, nobody.provider = place.stack, "nobody-there", "zoho_crm"
    for _ in range(20):
        nobody.token(key=key).problem(404, "client_unknown")


def test_roles_and_scopes(place):
    connection, other = place.own(), place.own()
    keys = {role: place.stack.new_key(role, "--client", connection.id) for role in ("admin", "operator", "auditor", "service")}
    for role, key in keys.items():
        if role not in ("admin", "service"):
            report(connection, key=key).problem(403, "forbidden")
        else:
            report(other, key=key).problem(404, "client_unknown")
        if role not in ("admin", "operator"):
            refresh(connection, key=key).problem(403, "forbidden")
        else:
            refresh(other, key=key).problem(404, "client_unknown")
    elsewhere = place.stack.new_key("admin", "--client", connection.id, "--provider", "zoho_calendar")
    report(connection, key=elsewhere).problem(404, "client_unknown")
    refresh(connection, key=elsewhere).problem(404, "client_unknown")
    assert connection.books().asked == other.books().asked == []
    nobody = Tenant.__new__(Tenant)
    nobody.stack, nobody.id, nobody.provider = place.stack, "nobody-there", "zoho_crm"
    report(nobody).problem(404, "client_unknown")
    refresh(nobody).problem(404, "client_unknown")
    connection.provider = "sim_calm"
    report(connection).problem(404, "connection_unknown")
    refresh(connection).problem(404, "connection_unknown")
