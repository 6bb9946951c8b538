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
from renewal_harness import ROTATIONS, kill_process, no_fault_left, place  # noqa: F401
from test_fastcgi import params_of, request

ROUNDS = 50 if LONG else 3
POINTS = [f"K{number}" for number in range(1, 13)]
NOT_ASKED = ("K1", "K2", "K3", "K4")
LOST = ("K5", "K6", "K7")  # the provider has acted, and nobody has its answer
CERTAIN = [name for name in POINTS if name not in LOST]


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
