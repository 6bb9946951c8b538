"""Workers that are killed, told to end, or cannot accept: their number comes back, and no request is lost."""

import concurrent.futures
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from harness import LONG, Tenant, eventually

READ = "/divine/oauth/health"
ROUNDS = 10
WORKERS = 6  # of the stack: two in each of three pools


@pytest.fixture(autouse=True)
def whole(lone_stack):
    """Every test begins and ends with a whole stack."""
    eventually(lambda: len(lone_stack.workers()) == WORKERS and len(lone_stack.supervisors()) == 3)
    yield
    eventually(lambda: len(lone_stack.workers()) == WORKERS and len(lone_stack.supervisors()) == 3)


def ask(stack):
    return stack.api("GET", READ, limit=1).status


def is_gone(pid):
    """A zombie has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def limit_descriptors(pid, soft):
    """By its own user: a container's root may not. Returns the limit that was."""
    before, hard = (int(word) for word in Path(f"/proc/{pid}/limits").read_text().split("Max open files")[1].split()[:2])
    owner = Path(f"/proc/{pid}").stat()
    as_user = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"] if os.geteuid() == 0 else []
    subprocess.run([*as_user, "prlimit", "--pid", str(pid), f"--nofile={soft}:{hard}"], check=True)
    return before


@pytest.mark.parametrize("whom", ["workers", "leader", "both", "leader and a standby"])
def test_killed(lone_stack, whom):
    for round_ in range(ROUNDS):
        workers, leader = lone_stack.workers(), lone_stack.pid("supervisor")
        standby = [pid for pid in lone_stack.supervisors() if pid != leader][:1]
        if "leader" in whom or whom == "both":
            kill([leader])
        if "standby" in whom:
            kill(standby)
        if whom in ("workers", "both"):
            kill(workers)
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = pool.submit(ask, lone_stack)  # meanwhile: it may wait, or its worker be killed, but nothing else
            eventually(lambda: len(lone_stack.workers()) == WORKERS and not set(workers) & set(lone_stack.workers()), 10)
            took = time.monotonic() - begun
            assert asked.result() in (200, 502)
        assert ask(lone_stack) == 200
        assert (lone_stack.pid("supervisor") != leader) == (whom != "workers")
        eventually(lambda: len(lone_stack.supervisors()) == 3)
        print(f"round {round_ + 1}, {whom}: {WORKERS} workers again after {took:.2f} s")
    assert len(lone_stack.workers()) == WORKERS


def test_killed_while_idle(lone_stack):
    for pid in lone_stack.workers():
        kill([pid])
        eventually(lambda: is_gone(pid) and len(lone_stack.workers()) == WORKERS)
        assert ask(lone_stack) == 200


def ended(stack, pid):
    """The exit code by which the supervisor saw it end."""
    marker = f" pid {pid} ended: "
    lines = (stack.data / "log/supervise.log").read_text().splitlines()
    return next((int(line.split(marker)[1]) for line in lines if marker in line), None)


def test_told_to_end_while_idle(lone_stack):
    for pool in ("fast", "provider", "flow"):
        pid = lone_stack.workers(pool)[0]
        begun = time.monotonic()
        kill([pid], signal.SIGTERM)
        eventually(lambda: ended(lone_stack, pid) is not None, 5)
        assert ended(lone_stack, pid) == 0 and time.monotonic() - begun < 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_while_busy(lone_stack, sim, number):
    """A callback whose provider hangs is answered properly by a worker that was told to end long before."""
    tenant = Tenant(lone_stack, sim)
    target = tenant.consent(tenant.begin())
    sim.control("faults", {"at": "token", "mode": "hang"})
    workers = lone_stack.workers()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(tenant.callback, target)
        sim.control("wait", {"at": "hang", "count": 1})
        kill(workers, number)
        (busy,) = eventually(lambda: len(left := [pid for pid in workers if not is_gone(pid)]) == 1 and left)
        kill([busy], number)
        sim.control("faults", method="DELETE")
        answer = asked.result()
    assert answer.status == 200 and answer.json["status"] == "healthy", answer
    eventually(lambda: ended(lone_stack, busy) == 0)


def test_leader_killed_while_a_request_is_served(lone_stack, sim):
    """Its workers are told to end, and the one that is busy answers first."""
    tenant = Tenant(lone_stack, sim)
    target = tenant.consent(tenant.begin())
    sim.control("faults", {"at": "token", "mode": "hang"})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(tenant.callback, target)
        sim.control("wait", {"at": "hang", "count": 1})
        kill([lone_stack.pid("supervisor")])
        eventually(lambda: len(lone_stack.workers()) == WORKERS + 1)
        sim.control("faults", method="DELETE")
        answer = asked.result()
    assert answer.status == 200 and answer.json["status"] == "healthy", answer


def test_no_request_is_lost_while_workers_are_told_to_end(lone_stack):
    """However many are told so; those told young come back later and later, so requests wait, but all are answered."""
    stop, statuses, told = threading.Event(), [], 0
    enough_told, enough_asked = (60, 300) if LONG else (15, 60)

    def storm():
        while not stop.is_set():
            statuses.append(ask(lone_stack))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        storms = [pool.submit(storm) for _ in range(4)]
        end = time.monotonic() + (120 if LONG else 30)
        while (told < enough_told or len(statuses) < enough_asked) and time.monotonic() < end:
            workers = lone_stack.workers("fast")
            kill(random.sample(workers, min(1, len(workers))), signal.SIGTERM)
            told += len(workers) > 0
            time.sleep(random.random() / 20)  # the rain, not a wait
        stop.set()
        for asked in storms:
            asked.result()
    assert told >= enough_told and len(statuses) >= enough_asked and set(statuses) == {200}


def test_failed_accepts_end_no_worker(lone_stack):
    """Out of descriptors a worker says so, and serves on as soon as it can."""
    workers = lone_stack.workers("fast")
    log = Path(lone_stack.env["VESTAL_LOG_DIR"], "worker.log")
    before, limits = log.stat().st_size, {}
    for pid in workers:
        limits[pid] = limit_descriptors(pid, 3)  # 0 to 2 are in use, so there is none for a connection
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, lone_stack)
        eventually(lambda: log.read_text()[before:].count("accept.failed") >= 2)
        assert not asked.done() and set(lone_stack.workers("fast")) == set(workers)
        for pid in workers:
            limit_descriptors(pid, limits[pid])
        assert asked.result() == 200
    assert set(lone_stack.workers("fast")) == set(workers)


def test_a_second_supervisor_does_not_start(lone_stack):
    """It would take the sockets away from the first."""
    command = Path(f"/proc/{lone_stack.pid('supervisor')}/cmdline").read_text().split("\0")[:-1]
    for inherited in ("--place", "--sockets"):
        if inherited in command:
            at = command.index(inherited)
            del command[at : at + 2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and "already running" in done.stderr
    assert ask(lone_stack) == 200
