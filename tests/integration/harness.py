"""What integration tests are made of: a stack by its folder, its answers, a client of a test's own.

A test brings clients of its own, so that tests do not meet. What a test plants as a secret carries MARKER;
`test_zz_secrets.py`, which runs last, looks for it everywhere. Named apart from conftest.py, of which there are several.
"""

import http.client
import itertools
import json
import os
import random
import secrets
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg2

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/sim"))

MARKER = "MaRkEr" + secrets.token_hex(6)  # in every secret of this run, so that a leak of any is found
DEFAULT_CLIENT = "the-default"  # of the stack that has one
LONG = os.environ.get("VESTAL_LONG") == "1"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"

    @property
    def json(self):
        return json.loads(self.body)

    def problem(self, status, slug):
        """The fields named by a problem answer of this status and slug."""
        assert self.status == status, self
        assert self.headers["Content-Type"] == "application/problem+json", self.headers
        assert self.json["type"] == f"urn:vestal:error:{slug}", self
        assert self.json["status"] == status and self.json["requestId"] == self.headers["X-Request-Id"]
        return [fault["field"] for fault in self.json.get("errors", [])]


addresses = (f"127.{a}.{b}.{c}" for a, b, c in itertools.product(range(1, 255), repeat=3))


def free_port():
    """Below the ports that the system hands out: one of those could be somebody's a moment later."""
    while True:
        port = random.randrange(10000, 12500)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def eventually(check, timeout_s=10.0):
    """Waits for what has no event to wait for: until check() is true; its last value is returned."""
    end = time.monotonic() + timeout_s
    while True:
        value = check()
        if value or time.monotonic() > end:
            assert value, "it did not become true in time"
            return value
        time.sleep(0.02)


class Stack:
    """A running stack, by its env file; the same for tools/up of any folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        words = shlex.split((self.folder / "env").read_text())
        self.env = dict(word.split("=", 1) for word in words if "=" in word)
        self.url = urlsplit(self.env["VESTAL_URL"])
        self.key = self.env["VESTAL_ADMIN_KEY"]
        self.data = Path(self.env["VESTAL_SOCKETS"].split()[0]).parents[1]

    def request(self, method, path, body=None, headers=(), timeout=60, source="127.0.0.1"):
        """headers: pairs, sent as they are, also twice. source: the loopback address to come from."""
        connection = http.client.HTTPConnection("127.0.0.1", self.url.port, timeout=timeout, source_address=(source, 0))
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def api(self, method, path, body=None, key="", accept="application/json", source="127.0.0.1", **query):
        """key: "" the administrator's, None none at all. body: a value sent as JSON."""
        headers = [("Accept", accept)] if accept else []
        if key is not None:
            headers.append(("Authorization", f"Bearer {key or self.key}"))
        if body is not None:
            headers.append(("Content-Type", "application/json"))
            body = json.dumps(body).encode()
        if query:
            path += "?" + urlencode(query)
        return self.request(method, path, body, headers, source=source)

    def ctl(self, *words, stdin=None, check=True):
        done = subprocess.run(
            [f"{self.env['VESTAL_BIN']}/vestalctl", *words], input=stdin, capture_output=True, text=True,
            env={**os.environ, "VESTAL_CONF": self.env["VESTAL_CONF"]}, timeout=60,
        )  # fmt: skip
        assert not check or done.returncode == 0, done
        return done

    def new_key(self, role, *options):
        made = self.ctl("api-key", "create", "--role", role, "--name", "test", "--json", *options)
        return json.loads(made.stdout)["key"]

    def connect_database(self, user=None):
        connection = psycopg2.connect(
            host=self.env["PGHOST"], port=self.env["PGPORT"], dbname=self.env["PGDATABASE"], user=user or self.env["PGUSER"]
        )
        connection.autocommit = True
        return connection

    def sql(self, text, *values):
        connection = self.connect_database()
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def tables(self):
        """The whole content of every table but the audit trail, to compare before and after a refusal. Nobody's use
        of a key counts as a change."""
        connection = self.connect_database()
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                    " where n.nspname = 'vestal' and c.relkind = 'r' and not c.relispartition order by 1"
                )
                content = {}
                for (name,) in cursor.fetchall():
                    cursor.execute(f"""select (to_jsonb(t) - 'last_used_on')::text from vestal."{name}" t""")
                    content[name] = sorted(cursor.fetchall())
                return content
        finally:
            connection.close()

    def audit(self, **wanted):
        where = "".join(f" and {column} = %s" for column in wanted)
        rows = self.sql(
            "select row_to_json(e)::text from vestal.audit_event e where true" + where + " order by id", *wanted.values()
        )
        return [json.loads(row) for (row,) in rows]

    def report(self, client, provider="zoho_crm"):
        tokens = self.api("GET", "/divine/oauth/health", clientId=client, provider=provider).json["data"]["tokens"]
        assert len(tokens) == 1, tokens
        return tokens[0]

    def log_files(self):
        """Everything the stack writes in the clear: logs, with the database's."""
        return [path for path in Path(self.env["VESTAL_LOG_DIR"]).rglob("*") if path.is_file()]

    def workers(self, pool=""):
        """Pids of this stack's living workers (a zombie is none)."""
        pids = []
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or (entry / "comm").read_text() != "vestal-fcgi\n":
                    continue
                # Not exe: that of a process that cannot be dumped is hidden even from its own account.
                line = (entry / "cmdline").read_text()
                if line.startswith(self.env["VESTAL_BIN"]) and pool in line:
                    pids.append(int(entry.name))
            except OSError:
                continue
        return pids

    def supervisors(self):
        """The one that leads, and those that wait for its place."""
        pids = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if f"{self.data}/dev/supervise.py" in words:
                pids.append(int(entry.name))
        return pids

    def pid(self, name):
        """Of nginx, or of the supervisor that leads."""
        return int((self.data / f"run/{name}.pid").read_text())


def postgres_program(name):
    """The newest installed, as tools/up takes it."""
    return str(max(Path("/usr/lib/postgresql").glob(f"1[5-9]/bin/{name}")))


def up(folder, *options, check=True):
    done = subprocess.run(
        [str(TREE / "tools/up"), "--dir", str(folder), *options], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def down(folder, *options):
    return subprocess.run(
        [str(TREE / "tools/down"), "--dir", str(folder), *options], capture_output=True, text=True, timeout=120, check=True
    )


class Tenant:
    """A client of one test's own, with an app at the simulator."""

    def __init__(self, stack, sim, provider="zoho_crm", id=None):
        self.stack, self.sim, self.provider = stack, sim, provider
        self.id = id or "t-" + secrets.token_hex(6)
        self.user = f"{self.id}@example.com"
        self.app_id = f"1000.{secrets.token_hex(8).upper()}"
        self.app_secret = f"{MARKER}{secrets.token_hex(12)}"
        redirect = f"{stack.env['VESTAL_URL']}/api/oauth/callback/{provider}"
        sim.client(self.app_id, client_secret=self.app_secret, redirect_uris=[redirect])
        stack.ctl("client", "add", self.id)
        stack.ctl(
            "app", "set", provider, "--client", self.id, "--client-id", self.app_id, "--client-secret-file", "-",
            "--redirect-uri", redirect, stdin=self.app_secret + "\n")  # fmt: skip

    def begin(self):
        """Starts a flow; the provider's authorization URL."""
        answer = self.stack.api("GET", f"/api/oauth/authorize/{self.id}", provider=self.provider)
        assert answer.status == 200, answer
        return answer.json["authorizationUrl"]

    def consent(self, authorization_url, **more):
        """What the provider sends the browser back to: path and query of our callback."""
        body = {"authorize_url": authorization_url, "user": self.user} | more
        location = urlsplit(self.sim.control("consent", body)["location"])
        return f"{location.path}?{location.query}"

    def callback(self, target, accept="application/json"):
        """Each from an address of its own: nginx takes ten a minute from one."""
        return self.stack.api("GET", target, key=None, accept=accept, source=next(addresses))

    def connect(self, **more):
        answer = self.callback(self.consent(self.begin(), **more))
        assert answer.status == 200, answer
        return answer.json

    def calls(self):
        """What Vestal itself sent to the provider on behalf of this client's app, in order: (place, data centre)."""
        rows = self.sim.ledger()["requests"]
        return [(row["kind"], row["datacenter"]) for row in rows if row["client_id"] == self.app_id and row["kind"] != "auth"]

    def issued(self, kind="access"):
        """The tokens this client's user was ever given, oldest first."""
        return [row["value"] for row in self.sim.ledger()["tokens"] if row["user"] == self.user and row["kind"] == kind]

    def token(self, key="", **query):
        return self.stack.api("GET", f"/api/oauth/token/{quote(self.id)}", key=key, provider=self.provider, **query)


def query_of(target):
    return dict(parse_qsl(urlsplit(target).query))
