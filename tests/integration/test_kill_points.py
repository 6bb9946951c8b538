"""A renewal killed at every point of its way, at providers that rotate in every way.

Points K1 to K12: before the claim is sent, after its commit, after the durable intent, before a byte leaves, while the
provider has acted and nothing was read, before and during the write of the answer, after it, with the commit on its
way, after it, after the slot is cleared, between the two other stores. Then the refresher runs as ever, and the
provider's ledger says whether anything was lost.
"""

import signal
import socket
import threading

import frames
import pytest
from harness import LONG, eventually
from renewal_harness import GRACE_S, ROTATIONS, kill_process, no_fault_left, place  # noqa: F401
from test_fastcgi import params_of, request

ROUNDS = 50 if LONG else 3
POINTS = [f"K{number}" for number in range(1, 13)]
NOT_ASKED = ("K1", "K2", "K3", "K4")
LOST = ("K5", "K6", "K7")  # the provider has acted, and nobody has its answer


def kill_refresher(place, connection, point):
    """Starts a renewal of the connection alone, and kills it there."""
    place.make_due(connection)
    if point != "K5":
        place.refresh(*connection.only, kill=point, expect=-signal.SIGKILL)
        return
    connection.fault(mode="hang", act=True)
    run = place.start(*connection.only)
    connection.wait_for_hang()
    assert run.kill().code == -signal.SIGKILL


def settle(place, connection):
    """The next run, and the one after it where something is still to be settled; the last one, and how many there were."""
    done = place.refresh(*connection.only, expect=None)
    row = connection.row()
    if row["state"] != "quarantined" or row["next_s"] is None:
        return done, 1
    assert row["next_s"] <= 0, f"the settling try belongs to the next run: {row}"
    return place.refresh(*connection.only, expect=None), 2


def nothing_left(place, connection):
    """Neither a lease nor a slot, and a third run finds nothing to do."""
    row, asked = connection.row(), len(connection.books().asked)
    assert row["lease_owner"] is None and not row["undistributed"], row
    assert place.spooled() == [], place.spooled()
    place.refresh(*connection.only, expect=None)
    assert len(connection.books().asked) == asked, "asked again without being due"


def kept(place, connection, point, newest_at_the_kill):
    """Nothing was lost but, at most, an answer that a second request made up for."""
    done, _ = settle(place, connection)
    assert done.code == 0, (done, connection.row())
    lost = point in LOST
    books = connection.books()
    assert len(books.mints) == 1 + lost, books
    if point not in (*NOT_ASKED, *LOST):
        assert books.newest == newest_at_the_kill, "the spooled answer was thrown away"
    connection.whole(generation=2)
    connection.serves(books.newest)
    connection.accounted(lost=int(lost))
    nothing_left(place, connection)
    connection.renews()
    connection.accounted(lost=int(lost))


def reported(place, connection, old):
    """The one loss that is allowed: the new tokens were never received. It is said, and the old access token serves."""
    done, _ = settle(place, connection)
    assert done.code == 2, (done, connection.row())
    row, report, books = connection.row(), connection.health(), connection.books()
    assert row["state"] in ("invalid", "quarantined") and row["next_s"] is None, row
    assert (report["status"], report["cause"], report["action"]) == (row["state"], "ambiguous_rotation", "reauthorize"), report
    assert len(place.incidents(connection)) == 1
    assert [asked["outcome"] for asked in books.asked] == ["ok", "invalid_code"], f"one settling try and no more: {books}"
    assert connection.serves(degraded=True) == old and row["lives_s"] > 0
    connection.accounted(lost=1)
    nothing_left(place, connection)
    assert connection.connect()["generation"] == 2, "a person mends it"
    connection.whole(generation=2)


@pytest.mark.parametrize("provider", ROTATIONS)
@pytest.mark.parametrize("point", POINTS)
def test_kill(place, point, provider):
    for number in range(1, ROUNDS + 1):
        connection = place.connect(provider)
        old = connection.serves()
        kill_refresher(place, connection, point)
        books = connection.books()
        assert len(books.asked) == (0 if point in NOT_ASKED else 1), f"not killed at {point}: {books}"
        assert connection.serves() in (old, books.newest), "withheld meanwhile"
        if point in LOST and provider == "sim_strict":
            reported(place, connection, old)
        else:
            kept(place, connection, point, books.newest)
        reuses = connection.books().reuses()
        assert len(reuses) == (1 if point in LOST and provider != "sim_never" else 0), reuses
        print(f"{point} {provider}: round {number} of {ROUNDS}")


def test_a_grace_that_is_over_when_somebody_comes(place):
    """Where it would have been enough to ask again, but nobody did in time."""
    connection = place.connect("sim_grace")
    old = connection.serves()
    kill_refresher(place, connection, "K5")
    place.sim.control("settings", {"client_id": connection.app_id, "grace_s": 0})
    try:
        reported(place, connection, old)
    finally:
        place.sim.control("settings", {"client_id": connection.app_id, "grace_s": GRACE_S})


@pytest.mark.parametrize("provider", ROTATIONS)
@pytest.mark.parametrize("point", ["K3", "K5", "K8", "K9"])
def test_authorized_again_before_the_recovery(place, point, provider):
    connection = place.connect(provider)
    kill_refresher(place, connection, point)
    generation = connection.connect()["generation"]
    granted, asked = connection.serves(), len(connection.books().asked)
    place.refresh(*connection.only)
    assert len(connection.books().asked) == asked and place.spooled() == []
    connection.whole(generation)
    connection.serves(granted)
    connection.renews()


@pytest.mark.parametrize("point", ["K3", "K5", "K8"])
def test_removed_before_the_recovery(place, point):
    connection = place.connect("sim_strict")
    kill_refresher(place, connection, point)
    removed = place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": connection.provider})
    assert removed.status == 200
    place.refresh(*connection.only, expect=None)
    row = connection.row()
    assert (row["state"], row["generation"], row["lease_owner"]) == ("missing", None, None), row
    assert place.spooled() == [] and connection.events("token.renewed") == []
    connection.token().problem(409, "reauthorization_required")
    assert connection.connect()["generation"] == 2
    connection.whole(generation=2)


# --- the other half is somewhere else


@pytest.mark.parametrize("provider", ROTATIONS)
@pytest.mark.parametrize("point", ["K2", "K3", "K6", "K8"])
def test_kill_on_a_host_that_stays_away(place, point, provider):
    """Its spool is out of reach: the lease runs out, and another host goes on without knowing what became of the request."""
    connection, other = place.connect(provider), place.another_host("away")
    old = connection.serves()
    place.make_due(connection)
    place.refresh(*connection.only, kill=point, expect=-signal.SIGKILL, **other)
    place.refresh(*connection.only)
    assert connection.books().reuses() == [] and connection.row()["lease_owner"], "its lease is not ours to end"
    place.sql("update vestal.connection set lease_until = now() where client_id = %s", connection.id)

    asked = point in ("K6", "K8")
    done, _ = settle(place, connection)
    if asked and provider == "sim_strict":
        assert done.code == 2 and connection.verdict()[:3] == ("invalid", "ambiguous_rotation", "reauthorize"), connection.verdict()
        assert len(place.incidents(connection)) == 1 and connection.serves(degraded=True) == old
    else:
        assert done.code == 0, (done, connection.row())
        connection.whole(generation=2)
        connection.serves(connection.books().newest)

    spent = len(connection.books().asked)
    place.refresh(*connection.only, expect=None, **other)  # it comes back
    assert place.spooled(other["state_dir"]) == [] and connection.row()["lease_owner"] is None
    assert len(connection.books().asked) == spent
    if not (asked and provider == "sim_strict"):
        assert connection.row()["generation"] == 2, "what comes late replaces nothing"
        connection.serves(connection.books().newest)
        connection.renews()


@pytest.mark.parametrize("provider", ROTATIONS)
@pytest.mark.parametrize("point", ["K2", "K9"])
def test_outcome_of_a_commit_that_nobody_knows(place, point, provider):
    """The database has committed, and its answer is lost with the connection; the process lives on."""
    connection = place.connect(provider)
    place.make_due(connection)
    place.refresh(*connection.only, cut=point)
    assert place.spooled() == []
    if connection.row()["generation"] == 1:  # a claim may wait for the end of its lease
        place.sql("update vestal.connection set lease_until = now() where client_id = %s", connection.id)
        place.refresh(*connection.only)
    assert len(connection.books().asked) == 1
    connection.whole(generation=2)
    connection.accounted()
    connection.renews()


# --- a worker that renews for a reader


def let_run_out(connection, seconds=30):
    """Its access token lives so much longer: a read renews, and may serve it when that fails."""
    connection.place.pass_time(connection.row()["lives_s"] - seconds, connection)


def ask_worker(path, connection):
    """A token read handed to that worker, as nginx would; None when it hung up instead of answering."""
    target = f"/api/oauth/token/{connection.id}?provider={connection.provider}"
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(path))
        caller.sendall(request(params_of(connection.stack, target)))
        records = list(frames.receive(caller))
    return b"".join(content for kind, content in records if kind == frames.STDOUT) or None


@pytest.mark.parametrize("provider", ROTATIONS)
@pytest.mark.parametrize("point", ["K1", "K2", "K3", "K4", "K6", "K7", "K8", "K9", "K10", "K11", "K12"])
def test_kill_of_a_worker_within_a_read(place, point, provider):
    rounds = ROUNDS if LONG else 1
    for number in range(1, rounds + 1):
        connection = place.connect(provider)
        old = connection.serves()
        let_run_out(connection)
        with place.worker(kill=point) as (process, path):
            assert ask_worker(path, connection) is None
            assert process.wait(10) == -signal.SIGKILL
        books = connection.books()
        assert len(books.asked) == (0 if point in NOT_ASKED else 1), f"not killed at {point}: {books}"
        if point in LOST and provider == "sim_strict":
            reported(place, connection, old)
        else:
            kept(place, connection, point, books.newest)
        print(f"{point} {provider}, a worker: round {number} of {rounds}")


@pytest.mark.parametrize("provider", ROTATIONS)
def test_kill_of_the_pool_while_the_provider_thinks(place, provider):
    """K5 from outside: readers go on, the pool comes back, the next run settles it."""
    connection = place.connect(provider)
    old = connection.serves()
    let_run_out(connection)
    connection.fault(mode="hang", act=True)
    answers = []
    reader = threading.Thread(target=lambda: answers.append(connection.token()))
    reader.start()
    connection.wait_for_hang()
    before = place.stack.workers("provider")
    for pid in before:
        kill_process(pid)
    reader.join()
    assert answers[0].status in (200, 502, 503), answers
    eventually(lambda: len(set(place.stack.workers("provider")) - set(before)) == len(before))
    answer = connection.token()
    assert answer.status == 200, "a living token is withheld"
    if provider == "sim_strict":
        reported(place, connection, old)
    else:
        kept(place, connection, "K5", None)
