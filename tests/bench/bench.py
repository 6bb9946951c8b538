"""The benchmark: Vestal's reads beside nginx alone and a worker that does nothing, all behind the same nginx.

It starts a stack of its own and removes it. What is measured: README.md. Numbers are printed and never judged; what
ends it with an error is a wrong answer, because its speed would mean nothing.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

TREE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TREE / "tests/integration"), str(TREE / "tests/sim")]
from harness import Answer, Stack, Tenant, down, eventually, free_port, up  # noqa: E402
from sim_harness import Sim  # noqa: E402

CALLERS = 32
CONNECTIONS = 100
WARM_UP_S = 1
EMPTY = "nginx + empty worker"
GROUPS = ("nginx", "worker", "database")

LOCATIONS = """
	location = /bench/static {{ alias "{folder}/answer.json"; default_type application/json; }}
	location = /bench/empty {{ fastcgi_pass "unix:{folder}/empty.sock"; }}
"""


class Case(NamedTuple):
    name: str
    path: str
    is_right: Callable[[Answer], bool]
    headers: tuple = ()
    pool: str = "fast"


class Sample(NamedTuple):
    requests: int
    per_second: float
    p99_ms: float
    cpu_us: dict  # of each group, for one request


class Bench(NamedTuple):
    stack: Stack
    parents: dict  # a group of processes -> the process they are children of


# --- the stack and what is measured beside it ---


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


def read_pid(path):
    return int(path.read_text().split()[0])


@contextmanager
def empty_pool(data, workers):
    """The empty worker, kept by the stack's own supervisor program under the stack's account, as the real pool is."""
    owner, folder = (data / "run").stat(), data / "bench"
    folder.mkdir(mode=0o755)
    subprocess.run(["make", "-s", "-C", TREE / "build", "tests/bench/empty_worker"], check=True, stdout=sys.stderr)
    subprocess.run(["install", "-m", "755", TREE / "build/tests/bench/empty_worker", folder], check=True)
    os.chown(folder, owner.st_uid, owner.st_gid)
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    supervisor = subprocess.Popen(
        ["/usr/bin/python3", data / "dev/supervise.py", "--run", folder, "--log", folder / "log",
         f"empty={workers}={folder / 'empty.sock'}", "--", folder / "empty_worker"],
        env={"PATH": os.environ["PATH"], "STACK_OF": str(data)}, cwd="/", stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, **account)  # fmt: skip
    try:
        eventually((folder / "empty.sock").exists)
        yield folder
    finally:
        supervisor.terminate()
        supervisor.wait()


def add_locations(stack, data, folder):
    """Into the stack's rendered nginx configuration; the static file holds what the empty worker answers."""
    config, front = data / "nginx/vestal.conf", "\tlocation / {\n"
    text = config.read_text()
    assert text.count(front) == 1
    config.write_text(text.replace(front, LOCATIONS.format(folder=folder) + front))
    os.kill(read_pid(data / "run/nginx.pid"), signal.SIGHUP)
    eventually(lambda: stack.api("GET", "/bench/empty").status == 200)
    (folder / "answer.json").write_bytes(stack.api("GET", "/bench/empty").body)


def connect(stack, sim):
    tenants = [Tenant(stack, sim, id=f"bench-{n:03}") for n in range(CONNECTIONS)]
    for tenant in tenants:
        tenant.connect()
    return tenants[0]


def make_cases(tenant):
    def holds(count):
        return lambda answer: answer.status == 200 and len(answer.json["data"]["tokens"]) == count

    def is_ok(answer):
        return answer.status == 200

    token = f"/api/oauth/token/{tenant.id}?provider={tenant.provider}"
    etag = tenant.token().headers["ETag"]
    return [
        Case("nginx, static file", "/bench/static", is_ok, pool=""),
        Case(EMPTY, "/bench/empty", is_ok, pool="empty"),
        Case("worker without database (healthz)", "/healthz", is_ok),
        Case("health, page of 1", f"/divine/oauth/health?clientId={tenant.id}", holds(1)),
        Case(f"health, page of {CONNECTIONS}", f"/divine/oauth/health?limit={CONNECTIONS}", holds(CONNECTIONS)),
        Case("token", token, lambda answer: answer.status == 200 and "access_token" in answer.json),
        Case("token, 304", token, lambda answer: answer.status == 304, (("If-None-Match", etag),)),
    ]


# --- measuring ---


def children(parent, pool=""):
    """Pids below a process; of a supervisor only the workers of a pool."""
    word = f"--pool\0{pool}\0".encode() if pool else b""
    pids = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in pids if word in read_proc(pid, "cmdline")]


def read_proc(pid, name):
    """Empty when the process is gone, as those that PostgreSQL starts for a moment may be."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def cpu_ns(bench, case):
    """Of each group, what each of its processes has used so far."""
    pids = {
        "nginx": children(bench.parents["nginx"]),
        "worker": children(bench.parents[case.pool], case.pool) if case.pool else [],
        "database": children(bench.parents["database"]),
    }
    return {group: {pid: int((read_proc(pid, "schedstat").split() or [0])[0]) for pid in pids[group]} for group in GROUPS}


def private_kib(pid):
    lines = read_proc(pid, "smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith((b"Private_Clean:", b"Private_Dirty:")))


def run_wrk(bench, case, seconds):
    headers = [word for name, value in case.headers for word in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CALLERS}", f"-d{seconds}s", "-s", Path(__file__).with_name("report.lua"), *headers,
         f"http://127.0.0.1:{bench.stack.url.port}{case.path}"],
        env={"BENCH_AUTHORIZATION": f"Bearer {bench.stack.key}"}, capture_output=True, text=True, check=True)  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    if told["errors"] or not told["requests"]:
        sys.exit(f"bench: {case.name}: {told}")
    return told


def measure(bench, case, seconds):
    answer = bench.stack.request("GET", case.path, headers=[("Authorization", f"Bearer {bench.stack.key}"), *case.headers])
    if not case.is_right(answer):
        sys.exit(f"bench: {case.name}: wrong answer, status {answer.status}")
    before = cpu_ns(bench, case)
    told = run_wrk(bench, case, seconds)
    after = cpu_ns(bench, case)
    used = {group: sum(ns - before[group].get(pid, 0) for pid, ns in after[group].items()) for group in GROUPS}
    count = told["requests"]
    return Sample(count, count / told["seconds"], told["p99_ms"], {name: ns / 1000 / count for name, ns in used.items()})


def measure_all(bench, cases, rounds, seconds):
    """Interleaved and in a rotating order, so that whatever else the machine does meets all alike."""
    samples = {case.name: [] for case in cases}
    for number in range(-1, rounds):
        shift = number % len(cases)
        for case in cases[shift:] + cases[:shift]:
            sample = measure(bench, case, seconds if number >= 0 else WARM_UP_S)
            if number >= 0:
                samples[case.name].append(sample)
        print(f"round {number + 1} of {rounds}" if number >= 0 else "warmed up", file=sys.stderr)
    return samples


def check_audit(stack, samples):
    served = sum(sample.requests for name, list_ in samples.items() if name.startswith("token") for sample in list_)
    written = stack.sql("select count(*) from vestal.audit_event where action = 'token.read' and outcome = 'ok'")[0][0]
    if written < served:
        sys.exit(f"bench: {served} token reads left {written} audit events")


# --- reporting ---


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(samples):
    """Ratios are taken within a round: what slowed a round down slowed both sides."""
    empty = [sample.per_second for sample in samples[EMPTY]]
    return [
        {
            "name": name,
            "requests_per_second": spread([sample.per_second for sample in list_]),
            "ratio_to_empty_worker": spread([sample.per_second / base for sample, base in zip(list_, empty)]),
            "p99_ms": spread([sample.p99_ms for sample in list_]),
            "cpu_us": {group: statistics.median(sample.cpu_us[group] for sample in list_) for group in GROUPS},
        }
        for name, list_ in samples.items()
    ]


def memory(bench):
    """Of each pool; a vestal-fcgi shows its memory to root alone."""
    found = {}
    for name, pool in (("empty worker", "empty"), ("vestal-fcgi", "fast")):
        try:
            found[name] = spread([private_kib(pid) for pid in children(bench.parents[pool], pool)])
        except PermissionError:
            found[name] = None
    return found


def print_table(report):
    print("{callers} keep-alive callers, {rounds} rounds of {seconds} s, {workers} workers, {cpus} CPUs".format(**report))
    print(f"\n{'':34}{'requests/s':>10}{'min':>9}{'max':>9} |{'ratio':>7}{'min':>7}{'max':>7} |{'p99 ms':>7} |"
          + "".join(f"{group:>9}" for group in GROUPS))  # fmt: skip
    for row in report["results"]:
        rate, ratio = row["requests_per_second"], row["ratio_to_empty_worker"]
        print(f"{row['name']:34}{rate['median']:10,.0f}{rate['min']:9,.0f}{rate['max']:9,.0f} |"
              f"{ratio['median']:7.3f}{ratio['min']:7.3f}{ratio['max']:7.3f} |{row['p99_ms']['median']:7.1f} |"
              + "".join(f"{row['cpu_us'][group]:9.1f}" for group in GROUPS))  # fmt: skip
    print(f"\nratio: to \"{EMPTY}\" of the same round; nginx, worker, database: CPU microseconds a request")
    for name, kib in report["private_kib"].items():
        shown = f"{kib['median']:,.0f} KiB ({kib['min']:,} to {kib['max']:,})" if kib else "only root may see it"
        print(f"private memory, {name}: {shown}")


def run(options):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, simulator() as (sim, make_providers):
        print("starting a stack and connecting its clients", file=sys.stderr)
        folder = Path(folder)
        providers = folder / "providers"
        subprocess.run([*make_providers, "--out", providers], check=True, stdout=subprocess.DEVNULL)
        with running_stack(folder / "stack", providers, options.workers) as stack:
            data = Path(stack.env["VESTAL_LOG_DIR"]).parent
            with empty_pool(data, options.workers) as pool:
                add_locations(stack, data, pool)
                cases = make_cases(connect(stack, sim))
                bench = Bench(stack, {
                    "nginx": read_pid(data / "run/nginx.pid"), "database": read_pid(data / "pg/postmaster.pid"),
                    "fast": read_pid(data / "run/supervisor.pid"), "empty": read_pid(pool / "supervisor.pid"),
                })  # fmt: skip
                samples = measure_all(bench, cases, options.rounds, options.seconds)
                check_audit(stack, samples)
                return {
                    "callers": CALLERS, "rounds": options.rounds, "seconds": options.seconds, "workers": options.workers,
                    "cpus": os.cpu_count(), "results": summarize(samples), "private_kib": memory(bench),
                }  # fmt: skip


def count(text):
    if not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("must be from 1 to 64")
    return int(text)


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measures Vestal's reads on a stack of its own.")
    for name, default, text in (("rounds", 5, "how often each is measured"), ("seconds", 2, "each time"),
                                ("workers", 4, "in the pool")):  # fmt: skip
        parser.add_argument(f"--{name}", type=count, default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = run(options)
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        print_table(report)


if __name__ == "__main__":
    main()
