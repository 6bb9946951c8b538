"""Renewals: vestal-refresh beside a Node program that does the same, of connections by the thousand, against a provider
that takes its time."""

import http.client
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

import peers
from sealing import Ring
from stand import TREE, account, build, environment, family_cpu_s, own_folder, read_pid, read_proc, say, spread, stop

PROVIDER = "bench_slow"
LATENCY_MS = 100
CONCURRENCIES = (200, 500)
FLAT = (1_000, 100_000)
MILLION = 1_000_000
MEMORY_CONCURRENCY = 500
DEADLINE_S = 60  # of a run for its memory: a million renewals would take minutes
NODE_CONNECTIONS = 4
DUE_QUERY = TREE / "sql/queries/renewal/due.sql"
DUE_PARAMETERS = (1000, None, None)  # limit, client, provider


def definition(port):
    """In the form of Zoho's, at the slow provider."""
    return {
        "name": PROVIDER,
        "allow_loopback_http": True,
        "authorize_url": "{accounts}/oauth/v2/auth",
        "token_url": "{accounts}/oauth/v2/token",
        "datacenters": {"us": {"accounts": f"http://127.0.0.1:{port}", "api": "https://www.zohoapis.com"}},
        "default_datacenter": "us",
        "scopes": ["ZohoCRM.modules.ALL", "ZohoCRM.users.READ"],
        "authorization_scheme": "Zoho-oauthtoken",
        "response": {"api_domain": "/api_domain"},
        "rotation": "never",
        "access_ttl_s": 3600,
        "renew_before_s": 600,
    }


# --- the provider ---


class SlowProvider:
    def __init__(self, port):
        self.port = port

    def ask(self, method):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, "/stats")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def stats(self):
        return self.ask("GET")

    def start_anew(self):
        return self.ask("DELETE")


@contextmanager
def slow_provider(stack, port):
    program = build(stack, "slow_provider")
    process = subprocess.Popen(
        [program, "--port", str(port), "--latency-ms", str(LATENCY_MS)], stdout=subprocess.PIPE, cwd="/",
        env=environment(stack), **account(stack))  # fmt: skip
    try:
        assert process.stdout.readline().startswith(b"listening"), "slow_provider did not start"
        yield SlowProvider(port)
    finally:
        process.terminate()
        process.wait()


# --- connections by the thousand ---


def rows(ring, first, count, app_id):
    """Of vestal.client, connection and token, as COPY reads them; connections are numbered on from first."""
    client, connection, token = io.StringIO(), io.StringIO(), io.StringIO()
    for number in range(first, first + count):
        name = f"slow-{number}"
        sealed = {}
        for column in ("access", "refresh"):
            plain = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}".encode()
            sealed[column] = ring.seal(("token", name, PROVIDER, column), 1, plain).hex(), ring.fingerprint(plain)
        (access, access_print), (refresh, refresh_print) = sealed["access"], sealed["refresh"]
        client.write(f"{name}\t{name}\n")
        connection.write(f"{number}\t{name}\t{PROVIDER}\t{app_id}\tus\thttps://www.zohoapis.com\t1\tlive\tnone\t1\t1\n")
        token.write(f"{number}\t1\t\\\\x{access}\t\\\\x{refresh}\t{access_print}\t{refresh_print}\tBearer\tnow\tnow\n")
    for file in (client, connection, token):
        file.seek(0)
    return client, connection, token


class Herd:
    """The connections of the slow provider."""

    def __init__(self, stack):
        self.stack, self.count = stack, 0
        self.ring = Ring(stack.data / "keys/token.ring")
        stack.ctl(
            "app", "set", PROVIDER, "--client-id", "1000.BENCH", "--client-secret-file", "-", "--redirect-uri",
            f"{stack.env['VESTAL_URL']}/api/oauth/callback/{PROVIDER}", stdin=secrets.token_hex(20) + "\n")  # fmt: skip
        self.app_id = self.sql("select id from vestal.app where provider = %s", PROVIDER)[0][0]
        self.first = self.sql("select coalesce(max(id), 0) + 1000 from vestal.connection")[0][0]
        self.sql("insert into vestal.provider_state (provider, datacenter) values (%s, 'us') on conflict do nothing", PROVIDER)

    def sql(self, text, *values):
        return self.stack.sql(text, *values)

    def grow(self, count, step=20_000):
        """To so many, each sealed for its own place."""
        database = self.stack.connect_database()
        with database.cursor() as cursor:
            while self.count < count:
                more = min(step, count - self.count)
                client, connection, token = rows(self.ring, self.first + self.count, more, self.app_id)
                cursor.copy_expert("copy vestal.client (id, name) from stdin", client)
                cursor.copy_expert(
                    "copy vestal.connection (id, client_id, provider, app_id, datacenter, api_domain, last_generation, state,"
                    " cause, copy_generation, environment_generation) from stdin", connection)  # fmt: skip
                cursor.copy_expert(
                    "copy vestal.token (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,"
                    " refresh_fingerprint, token_type, issued_at, granted_at) from stdin", token)  # fmt: skip
                self.count += more
        database.close()
        self.check_one()

    def check_one(self):
        """What was sealed here opens there."""
        number = self.first + self.count - 1
        self.sql("update vestal.token set expires_at = now() + interval '1 hour' where connection_id = %s", number)
        answer = self.stack.api("GET", f"/api/oauth/token/slow-{number}", provider=PROVIDER)
        if answer.status != 200 or not re.fullmatch(r"1000\.[0-9a-f]{32}\.[0-9a-f]{32}", answer.json["access_token"]):
            stop(f"a token that was sealed here does not open: {answer.status}")

    def make_due(self, count):
        """So many of them, as if an hour had passed, and no others; and the tables as tidy as before the last run."""
        self.sql(
            "update vestal.connection set lease_owner = null, lease_until = null, tried_at = null, mints = '{}', next_refresh_at"
            " = now() + case when id < %s then random() * interval '-5 minutes' else interval '1 day' end where provider = %s",
            self.first + count, PROVIDER)  # fmt: skip
        self.sql(
            "update vestal.token set expires_at = now() + interval '10 minutes', issued_at = now() - interval '50 minutes'"
            " where connection_id >= %s and connection_id < %s", self.first, self.first + count)  # fmt: skip
        for table in ("connection", "token"):
            self.sql(f"vacuum (analyze) vestal.{table}")
        self.sql("checkpoint")

    def renewed(self):
        """So far, by what the connections and by what the audit trail say."""
        return (
            self.sql("select coalesce(sum(generation - 1), 0)::int8 from vestal.token where connection_id >= %s", self.first),
            self.sql("select count(*) from vestal.audit_event where action = 'token.renewed' and provider = %s", PROVIDER),
        )


# --- one run ---


class Run(NamedTuple):
    renewed: int
    wall_s: float
    cpu_s: float
    database_cpu_s: float
    provider_cpu_s: float
    peak_kib: int
    peak_in_flight: int


class Peak(threading.Thread):
    """Watches a process' high-water mark: that of getrusage() begins with what this program held when it forked."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.kib = pid, 0
        self.start()

    def run(self):
        while True:
            found = re.search(rb"^VmHWM:\s+(\d+) kB", read_proc(self.pid, "status"), re.M)
            if not found:
                return
            self.kib = max(self.kib, int(found[1]))
            time.sleep(0.02)


def vestal_command(stack, concurrency, deadline_s=None):
    program = [f"{stack.env['VESTAL_BIN']}/vestal-refresh", "--due", "--concurrency", str(concurrency), "--json"]
    return {
        "args": program + (["--deadline", str(deadline_s)] if deadline_s else []),
        "env": environment(stack, VESTAL_CONF=stack.env["VESTAL_CONF"]),
    }


def node_command(stack, concurrency):
    folder = peers.install(stack)
    provider_file = stack.data / f"providers.d/{PROVIDER}.json"
    settings = peers.settings(stack, folder, provider_file, NODE_CONNECTIONS, "refresh_node") | {
        "JOURNAL": str(own_folder(stack) / "refresh_node.journal"),
        "STATE_DIR": str(own_folder(stack) / "state"),
        "RUNTIME_DIR": f"{stack.env['VESTAL_RUNTIME_DIR']}/bench",
    }
    program = [peers.node(), folder / "refresh_node.js", "--concurrency", str(concurrency)]
    return {"args": program, "env": settings} | account(stack)


COMMANDS = {"vestal-refresh": vestal_command, "node": node_command}


def execute(command, log):
    """Exit code, wall seconds, what it used."""
    began = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(**command, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        peak = Peak(process.pid)
        _, status, used = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    peak.join()
    return process.returncode, wall_s, used.ru_utime + used.ru_stime, peak.kib


def run_once(herd, provider, command, count, is_whole=True):
    """Void when the provider, the connections and the audit trail do not tell of the same renewals."""
    stack, log = herd.stack, own_folder(herd.stack) / "refresh.log"
    postmaster = read_pid(stack.data / "pg/postmaster.pid")
    herd.make_due(count)
    before, provider_before, database_before = herd.renewed(), provider.start_anew(), family_cpu_s(postmaster)
    code, wall_s, cpu_s, peak_kib = execute(command, log)
    database_s, stats, after = family_cpu_s(postmaster) - database_before, provider.stats(), herd.renewed()
    # What is promised ends with the last commit; the program says when that was, the Node one ends with everything.
    stored = re.search(rb'"renewalMs":(\d+)', log.read_bytes())
    wall_s = int(stored[1]) / 1000 if stored else wall_s
    renewed, noted = (now[0][0] - then[0][0] for now, then in zip(after, before))
    told = {"asked": stats["requests"], "answered": stats["answered"], "renewed": renewed, "audit events": noted}
    if code or len(set(told.values())) != 1 or (is_whole and renewed != count):
        stop(f"{command['args'][0]}: exit {code}, {count} due, {told}: {log.read_text(errors='replace')[-2000:]}")
    provider_s = (stats["cpu_us"] - provider_before["cpu_us"]) / 1e6
    return Run(renewed, wall_s, cpu_s, database_s, provider_s, peak_kib, stats["peak_in_flight"])


# --- all of them ---


def race(herd, provider, count, rounds):
    """Interleaved, in an order that rotates."""
    todo = [(name, concurrency) for concurrency in CONCURRENCIES for name in COMMANDS]
    runs = {key: [] for key in todo}
    herd.grow(count)
    for number in range(rounds):
        shift = number % len(todo)
        for name, concurrency in todo[shift:] + todo[:shift]:
            runs[name, concurrency].append(run_once(herd, provider, COMMANDS[name](herd.stack, concurrency), count))
        say(f"renewals: round {number + 1} of {rounds}")
    return runs


def memory(herd, provider, sizes):
    """Of vestal-refresh, with so many due."""
    found = []
    for size in sizes:
        herd.grow(size)
        run = run_once(herd, provider, vestal_command(herd.stack, MEMORY_CONCURRENCY, DEADLINE_S), size, is_whole=False)
        say(f"renewals: {run.renewed:,} of {size:,} due in {run.wall_s:.0f} s, {run.peak_kib:,} KiB")
        found.append({"due": size, "renewed": run.renewed, "wall_s": run.wall_s, "peak_kib": run.peak_kib})
    return found


def walk(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from walk(child)


def due_query(herd):
    """How the search for due connections goes about it, with all of them due."""
    herd.make_due(herd.count)
    statement = re.sub(r"^--.*\n", "", DUE_QUERY.read_text(), flags=re.M)
    database = herd.stack.connect_database("vestal_refresher")
    with database.cursor() as cursor:
        cursor.execute("set search_path = pg_catalog")
        cursor.execute("prepare due as " + statement)
        values = ", ".join("null" if value is None else str(value) for value in DUE_PARAMETERS)
        cursor.execute(f"explain (analyze, buffers, format json) execute due ({values})")
        (plan,) = cursor.fetchone()[0]
    database.close()
    scans = [node for node in walk(plan["Plan"]) if "Scan" in node["Node Type"] and node.get("Relation Name") == "connection"]
    return {
        "connections": herd.count,
        "ms": plan["Execution Time"],
        "scans": [node["Node Type"] for node in scans],
        "heap_fetches": sum(node.get("Heap Fetches", 0) for node in scans),
        "buffers": plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
        "is_index_only": bool(scans) and all(node["Node Type"] == "Index Only Scan" for node in scans),
    }


# --- the result ---


def limit_s(count, concurrency):
    return count * LATENCY_MS / 1000 / concurrency


def summarize(runs):
    return [
        {
            "program": name,
            "concurrency": concurrency,
            "renewed": list_[0].renewed,
            "wall_s": spread([run.wall_s for run in list_]),
            "ratio_to_limit": spread([run.wall_s / limit_s(run.renewed, concurrency) for run in list_]),
            "cpu_ms": spread([run.cpu_s * 1e6 / run.renewed for run in list_]),
            "database_cpu_ms": spread([run.database_cpu_s * 1e6 / run.renewed for run in list_]),
            "provider_cpu_ms": spread([run.provider_cpu_s * 1e6 / run.renewed for run in list_]),
            "peak_kib": max(run.peak_kib for run in list_),
            "peak_in_flight": max(run.peak_in_flight for run in list_),
        }
        for (name, concurrency), list_ in runs.items()
    ]


def promised(results, flat, due):
    """(promise's name in promises.py, what was measured)"""
    found = {}
    by = {(row["program"], row["concurrency"]): row for row in results}
    for concurrency in CONCURRENCIES:
        found[f"renewals / limit, {concurrency}"] = by["vestal-refresh", concurrency]["ratio_to_limit"]
    for concurrency in CONCURRENCIES:
        ours, node = (by[name, concurrency]["cpu_ms"] for name in ("vestal-refresh", "node"))
        found[f"renewals' CPU / node, {concurrency}"] = {word: ours[word] / node["median"] for word in ("median", "min", "max")}
    found["memory, many / few due"] = spread([row["peak_kib"] / flat[0]["peak_kib"] for row in flat[1:]])
    found["heap fetches of the due query"] = spread([due["heap_fetches"] if due["is_index_only"] else float("inf")])
    return found


def print_table(report):
    print(f"\n{report['count']:,} renewals at a provider that takes {LATENCY_MS} ms, {report['rounds']} rounds")
    print(f"\n{'':20}{'C':>5}{'seconds':>9} |{'ratio':>7}{'min':>7}{'max':>7} |{'CPU':>8}{'database':>10}{'provider':>10} |"
          f"{'peak MiB':>9}{'in flight':>10}")  # fmt: skip
    for row in report["results"]:
        ratio = row["ratio_to_limit"]
        print(f"{row['program']:20}{row['concurrency']:5}{row['wall_s']['median']:9.2f} |{ratio['median']:7.3f}{ratio['min']:7.3f}"
              f"{ratio['max']:7.3f} |{row['cpu_ms']['median']:8.0f}{row['database_cpu_ms']['median']:10.0f}"
              f"{row['provider_cpu_ms']['median']:10.0f} |{row['peak_kib'] / 1024:9.1f}{row['peak_in_flight']:10}")  # fmt: skip
    print("\nratio: to renewals x latency / C; CPU, database, provider: CPU milliseconds for 1,000 renewals")
    for row in report["memory"]:
        whole = "" if row["renewed"] == row["due"] else f", {row['renewed']:,} of them renewed before the deadline"
        print(f"memory with {row['due']:,} due{whole}: {row['peak_kib'] / 1024:.1f} MiB")
    due = report["due_query"]
    print(f"due query over {due['connections']:,} connections: {due['ms']:.1f} ms, {due['buffers']:,} buffers, "
          f"{', '.join(due['scans'])}, {due['heap_fetches']} heap fetches")  # fmt: skip


def run(stack, port, options):
    if not os.access(f"{stack.env['VESTAL_BIN']}/vestal-refresh", os.X_OK):
        stop("there is no vestal-refresh")
    shutil.rmtree(own_folder(stack) / "state", ignore_errors=True)
    with slow_provider(stack, port) as provider:
        herd = Herd(stack)
        runs = race(herd, provider, options.renewals, options.renewal_rounds)
        flat = memory(herd, provider, FLAT + ((MILLION,) if options.million else ()))
        due, results = due_query(herd), summarize(runs)
    return {
        "count": options.renewals, "rounds": options.renewal_rounds, "results": results, "memory": flat, "due_query": due,
        "promised": promised(results, flat, due),
    }  # fmt: skip
