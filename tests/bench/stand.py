"""What every part of the benchmark stands on: a stack and a simulator of its own, and what processes use."""

import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
sys.path[:0] = [str(TREE / "tests/integration"), str(TREE / "tests/sim")]
from harness import Stack, down, free_port, up  # noqa: E402
from sim_harness import Sim  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


def stop(text):
    """For a wrong answer or a lost row: a speed got with it would mean nothing."""
    sys.exit(f"bench: {text}")


# --- what runs ---


@contextmanager
def simulator():
    program = [sys.executable, "-B", str(TREE / "tests/sim/zoho_sim.py")]
    port = free_port()
    with subprocess.Popen([*program, "serve", "--port", str(port)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("listening")
            yield Sim(port), [*program, "providers", "--port", str(port), "--builtin", str(TREE / "fcgi/oauth/providers")]
        finally:
            process.terminate()


@contextmanager
def running_stack(folder, providers, workers):
    try:
        up(folder, "--no-demo", "--port", str(free_port()), "--workers", str(workers), "--providers", str(providers),
           "--set", "rate_per_key=0", "--set", "rate_per_address=0", "--set", "rate_admin_actions=0")  # fmt: skip
        yield Stack(folder)
    finally:
        down(folder, "--remove")


def account(stack):
    """For Popen: whoever the stack runs as."""
    owner = (stack.data / "run").stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def environment(stack, **more):
    """STACK_OF: tools/down ends what is left over of this stack."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    return kept | {"STACK_OF": str(stack.data)} | {name: str(value) for name, value in more.items()}


def own_folder(stack):
    """Where the stack's account can read what the benchmark puts there."""
    folder = stack.data / "bench"
    folder.mkdir(mode=0o755, exist_ok=True)
    owner = (stack.data / "run").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    return folder


def build(stack, program):
    """A program of this folder, built and put where the stack's account can run it."""
    subprocess.run(["make", "-s", "-C", TREE / "build", f"tests/bench/{program}"], check=True, stdout=sys.stderr)
    subprocess.run(["install", "-m", "755", TREE / "build/tests/bench" / program, own_folder(stack)], check=True)
    return own_folder(stack) / program


# --- what processes use ---


def read_pid(path):
    return int(path.read_text().split()[0])


def read_proc(pid, name):
    """Empty when the process is gone, as those that PostgreSQL starts for a moment may be."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def children(parent, word=b""):
    """Pids below a process; only those whose command line holds the word."""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in pids if word in read_proc(pid, "cmdline")]


def cpu_ns(pid):
    return int((read_proc(pid, "schedstat").split() or [0])[0])


def family_cpu_s(parent):
    """Of a process and its children, those that are gone included: for one whose children come and go."""
    tick = os.sysconf("SC_CLK_TCK")

    def used(pid, fields):
        words = read_proc(pid, "stat").rpartition(b") ")[2].split()
        return sum(int(words[field]) for field in fields) / tick if words else 0

    return used(parent, range(11, 15)) + sum(used(pid, range(11, 13)) for pid in children(parent))


def private_kib(pid):
    lines = read_proc(pid, "smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith((b"Private_Clean:", b"Private_Dirty:")))


# --- numbers ---


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
