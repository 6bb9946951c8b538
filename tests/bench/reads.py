"""Reads: Vestal's beside nginx alone, a worker that does nothing, and Node doing the same; all behind the same nginx."""

import json
import os
import signal
import statistics
import subprocess
from contextlib import contextmanager
from typing import Callable, NamedTuple

import peers
from stand import HERE, account, build, children, cpu_ns, environment, own_folder, private_kib, read_pid, say, spread, stop

from harness import Answer, Stack, Tenant, eventually

CALLERS = 32
CONNECTIONS = 100
WARM_UP_S = 1
PEER_WARM_UP_S = 8  # until V8 has compiled what it will
EMPTY = "nginx + empty worker"
GROUPS = ("nginx", "worker", "database")

LOCATIONS = """
	location = /bench/static {{ alias "{folder}/answer.json"; default_type application/json; }}
	location = /bench/empty {{ fastcgi_pass "unix:{folder}/empty.sock"; }}
"""
# A peer is given what makes nginx's part cheapest: connections that are kept.
UPSTREAM = """
upstream bench_{name} {{
	{servers}
	keepalive 64;
}}
"""
PEER_LOCATION = """
	location /bench/{name}/ {{
		proxy_pass http://bench_{name}/;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header X-Real-IP $remote_addr;
		proxy_set_header X-Request-Id $request_id;
		proxy_hide_header Cache-Control;
	}}
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
    pools: dict  # name -> the pids of its workers


# --- what is measured beside the stack ---


@contextmanager
def empty_pool(stack, workers):
    """The empty worker, kept by the stack's own supervisor program under the stack's account, as the real pool is."""
    program, folder = build(stack, "empty_worker"), own_folder(stack)
    supervisor = subprocess.Popen(
        ["/usr/bin/python3", stack.data / "dev/supervise.py", "--run", folder, "--log", folder / "log",
         f"empty={workers}={folder / 'empty.sock'}", "--", program],
        env=environment(stack), cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account(stack))  # fmt: skip
    try:
        eventually((folder / "empty.sock").exists)
        yield folder
    finally:
        supervisor.terminate()
        supervisor.wait()


def add_locations(stack, folder, pools):
    """Into the stack's rendered nginx configuration; the static file holds what the empty worker answers."""
    config, front = stack.data / "nginx/vestal.conf", "\tlocation / {\n"
    text = config.read_text()
    assert text.count(front) == 1
    upstreams, locations = "", LOCATIONS.format(folder=folder)
    for name, (_, sockets) in pools.items():
        servers = "\n\t".join(f'server "unix:{socket}";' for socket in sockets)
        upstreams += UPSTREAM.format(name=name, servers=servers)
        locations += PEER_LOCATION.format(name=name)
    config.write_text(upstreams + text.replace(front, locations + front))
    os.kill(read_pid(stack.data / "run/nginx.pid"), signal.SIGHUP)
    eventually(lambda: stack.api("GET", "/bench/empty").status == 200)
    (folder / "answer.json").write_bytes(stack.api("GET", "/bench/empty").body)


def pools_of(stack, folder, nodes):
    """name -> how to find the pids of its workers now"""

    def supervised(run, name):
        return lambda: children(read_pid(run / "supervisor.pid"), f"--pool\0{name}\0".encode())

    def started(processes):
        return lambda: [process.pid for process in processes]

    return {
        "fast": supervised(stack.data / "run", "fast"), "empty": supervised(folder, "empty"),
        **{name: started(processes) for name, (processes, _) in nodes.items()},
    }  # fmt: skip


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
    first = tenant.token()
    served = {name: value for name, value in first.json.items() if name != "expires_in"}

    def is_token(answer):
        """The very answer of a worker, whoever gives it."""
        return answer.status == 200 and answer.headers["ETag"] == first.headers["ETag"] and served.items() <= answer.json.items()

    return [
        Case("nginx, static file", "/bench/static", is_ok, pool=""),
        Case(EMPTY, "/bench/empty", is_ok, pool="empty"),
        Case("worker without database (healthz)", "/healthz", is_ok),
        Case("health, page of 1", f"/divine/oauth/health?clientId={tenant.id}", holds(1)),
        Case(f"health, page of {CONNECTIONS}", f"/divine/oauth/health?limit={CONNECTIONS}", holds(CONNECTIONS)),
        Case("token", token, is_token),
        Case("token, 304", token, lambda answer: answer.status == 304, (("If-None-Match", first.headers["ETag"]),)),
        *(Case(f"token, {name}", f"/bench/{name}{token}", is_token, pool=name) for name in peers.NAMES),
    ]


# --- measuring ---


def used_ns(bench, case):
    """Of each group, what each of its processes has used so far."""
    pids = {
        "nginx": children(read_pid(bench.stack.data / "run/nginx.pid")),
        "worker": bench.pools[case.pool]() if case.pool else [],
        "database": children(read_pid(bench.stack.data / "pg/postmaster.pid")),
    }
    return {group: {pid: cpu_ns(pid) for pid in pids[group]} for group in GROUPS}


def run_wrk(bench, case, seconds):
    headers = [word for name, value in case.headers for word in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CALLERS}", f"-d{seconds}s", "-s", HERE / "report.lua", *headers,
         f"http://127.0.0.1:{bench.stack.url.port}{case.path}"],
        env={"BENCH_AUTHORIZATION": f"Bearer {bench.stack.key}"}, capture_output=True, text=True, check=True)  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    if told["errors"] or not told["requests"]:
        stop(f"{case.name}: {told}")
    return told


def measure(bench, case, seconds):
    answer = bench.stack.request("GET", case.path, headers=[("Authorization", f"Bearer {bench.stack.key}"), *case.headers])
    if not case.is_right(answer):
        stop(f"{case.name}: wrong answer, status {answer.status}")
    before = used_ns(bench, case)
    told = run_wrk(bench, case, seconds)
    after = used_ns(bench, case)
    used = {group: sum(ns - before[group].get(pid, 0) for pid, ns in after[group].items()) for group in GROUPS}
    count = told["requests"]
    return Sample(count, count / told["seconds"], told["p99_ms"], {name: ns / 1000 / count for name, ns in used.items()})


def measure_all(bench, cases, rounds, seconds):
    """Interleaved and in a rotating order, so that whatever else the machine does meets all alike."""
    samples = {case.name: [] for case in cases}
    for number in range(-1, rounds):
        shift = number % len(cases)
        for case in cases[shift:] + cases[:shift]:
            if number < 0:
                measure(bench, case, PEER_WARM_UP_S if case.pool in peers.NAMES else WARM_UP_S)
            else:
                samples[case.name].append(measure(bench, case, seconds))
        say(f"reads: round {number + 1} of {rounds}" if number >= 0 else "reads: warmed up")
    return samples


def check_audit(stack, samples):
    """Every token read of every program left its event."""
    for program, names in [("vestal-fcgi", ("token", "token, 304")), *((name, (f"token, {name}",)) for name in peers.NAMES)]:
        served = sum(sample.requests for name in names for sample in samples[name])
        written = stack.sql(
            "select count(*) from vestal.audit_event where action = 'token.read' and outcome = 'ok' and starts_with(program, %s)",
            program)[0][0]  # fmt: skip
        if written < served:
            stop(f"{served} token reads of {program} left {written} audit events")


# --- the result ---


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
    for name, pool in (("empty worker", "empty"), ("vestal-fcgi", "fast"), *((f"node, {name}", name) for name in peers.NAMES)):
        try:
            found[name] = spread([private_kib(pid) for pid in bench.pools[pool]()])
        except PermissionError:
            found[name] = None
    return found


def ratios(samples, kib):
    """What is promised of token reads: (promise's name in promises.py, values of the rounds)."""
    token = samples["token"]

    def over(name, of):
        return spread([of(sample) / of(other) for sample, other in zip(token, samples[name])])

    found = {
        "token / empty worker": over(EMPTY, lambda sample: sample.per_second),
        "token / express": over("token, express", lambda sample: sample.per_second),
        "token / fastify": over("token, fastify", lambda sample: sample.per_second),
        "token p99 / express": over("token, express", lambda sample: sample.p99_ms),
    }
    worker = kib["vestal-fcgi"]
    if worker:
        found["memory / express"] = spread([worker["median"] / kib["node, express"][word] for word in ("median", "min", "max")])
        found["memory / fastify"] = spread([worker["median"] / kib["node, fastify"][word] for word in ("median", "min", "max")])
    return found


def print_table(report):
    print("{callers} keep-alive callers, {rounds} rounds of {seconds} s, {workers} workers, {node} processes of each Node peer, "
          "{cpus} CPUs".format(**report))
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


def run(stack, sim, options):
    """The report of all reads."""
    with empty_pool(stack, options.workers) as folder, peers.token_pools(stack, options.node) as nodes:
        add_locations(stack, folder, nodes)
        say("reads: connecting the clients")
        cases = make_cases(connect(stack, sim))
        bench = Bench(stack, pools_of(stack, folder, nodes))
        samples = measure_all(bench, cases, options.rounds, options.seconds)
        check_audit(stack, samples)
        kib = memory(bench)
        return {
            "callers": CALLERS, "rounds": options.rounds, "seconds": options.seconds, "workers": options.workers,
            "node": options.node, "cpus": os.cpu_count(), "results": summarize(samples), "private_kib": kib,
            "promised": ratios(samples, kib),
        }  # fmt: skip
