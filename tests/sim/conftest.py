"""One simulator process for all tests of it; every test starts from nothing and leaves it sound."""

import hashlib
import re
import signal
import subprocess
import sys

import pytest
from sim_harness import PROGRAM, VALUE, Sim


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim with space")
    command = [sys.executable, PROGRAM, "serve", "--port", "0"]
    command += ["--dir", folder / "d", "--ready-file", folder / "ready"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            port = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)[1]
            assert (folder / "ready").read_text().strip() == line.split()[-1]
            sim = Sim(int(port))
            sim.folder, sim.pid = folder, process.pid
            yield sim
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0 and process.stdout.read() == ""
        finally:
            process.kill()


@pytest.fixture
def sim(server):
    server.control("reset")
    server.client()
    yield server
    check_invariants(server.ledger())


def check_invariants(ledger):
    """True of the ledger whatever happened before."""
    tokens = {row["id"]: row for row in ledger["tokens"]}
    assert len({row["value"] for row in tokens.values()}) == len(tokens)
    living = {}
    for row in tokens.values():
        assert VALUE.fullmatch(row["value"])
        assert row["sha256"] == hashlib.sha256(row["value"].encode()).hexdigest()
        assert row["state"] in ("live", "revoked", "evicted", "rotated", "expired")
        family = [other for other in tokens.values() if other["parent"] == row["id"]]
        children = [other for other in family if other["kind"] == "access"]
        assert row["mints"] == len(children)
        if row["kind"] == "refresh" and row["state"] in ("revoked", "evicted"):
            assert all(child["state"] != "live" for child in children)
        if row["kind"] == "refresh" and row["state"] == "live":
            key = (row["user"], row["client_id"], row["datacenter"])
            living.setdefault(key, set()).add(row["grant"])
    assert all(len(grants) <= ledger["settings"]["cap"] for grants in living.values())
    assert [row["seq"] for row in ledger["requests"]] == [
        n for n, _ in enumerate(ledger["requests"], 1)
    ]
    assert all(row["outcome"] != "pending" for row in ledger["requests"])
