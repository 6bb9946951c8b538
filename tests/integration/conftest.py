"""One stack with real parts for all integration tests: nginx, workers, PostgreSQL and the Zoho simulator."""

import subprocess
import sys

import pytest
from harness import DEFAULT_CLIENT, TREE, Stack, Tenant, down, free_port, up
from sim_harness import Sim


@pytest.fixture(scope="session")
def sim(tmp_path_factory):
    """The provider simulator; its ledger is the truth about tokens."""
    port = free_port()
    program = [sys.executable, str(TREE / "tests/sim/zoho_sim.py"), "serve", "--port", str(port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("listening")
        yield Sim(port)
        process.terminate()


@pytest.fixture(scope="session")
def providers(sim, tmp_path_factory):
    """A folder of definitions that point at the simulator."""
    folder = tmp_path_factory.mktemp("providers")
    subprocess.run(
        [sys.executable, str(TREE / "tests/sim/zoho_sim.py"), "providers", "--port", str(sim.port),
         "--builtin", str(TREE / "fcgi/oauth/providers"), "--out", str(folder)], check=True, capture_output=True)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def stack(providers, tmp_path_factory):
    """The stack most tests share. Rates are off: what limits is tested in test_nginx.py on a stack of its own."""
    folder = tmp_path_factory.mktemp("stack")
    up(folder, "--no-demo", "--port", str(free_port()), "--workers", "2", "--providers", str(providers),
       "--set", "rate_per_key=0", "--set", "rate_per_address=0", "--set", "provider_timeout_s=2", "--set", "lease_s=10")  # fmt: skip
    yield Stack(folder)
    down(folder, "--remove")


@pytest.fixture(scope="session")
def lone_stack(providers, tmp_path_factory):
    """A stack for tests that break it, or need a setting; whoever uses it leaves it whole."""
    folder = tmp_path_factory.mktemp("lone")
    up(folder, "--no-demo", "--port", str(free_port()), "--workers", "2", "--providers", str(providers),
       "--set", "rate_per_key=0", "--set", "rate_per_address=0", "--set", "provider_timeout_s=2", "--set", "lease_s=10",
       "--set", f"default_client={DEFAULT_CLIENT}")  # fmt: skip
    yield Stack(folder)
    down(folder, "--remove")


@pytest.fixture
def tenant(stack, sim):
    """A client with an app, not connected yet. The simulator's faults and settings end with the test."""
    yield Tenant(stack, sim)
    sim.control("faults", method="DELETE")


@pytest.fixture
def connected(tenant):
    tenant.connect()
    return tenant
