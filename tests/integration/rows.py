"""A migrated database of a module's own, without any program: rows laid down as they are wanted, times moved to where
they are wanted, and the statements of sql/queries run under the roles that their heads name."""

import json
import secrets
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2
from harness import eventually
from psycopg2.extras import RealDictCursor
from test_statements import STATEMENTS, USERS, Database

BY_NAME = {statement.name: statement for statement in STATEMENTS}
LEASE_S = 60

# What claim.sql answers, in its order.
Claim = namedtuple(
    "Claim",
    "id client provider datacenter app api_domain scope fence last_generation generation refresh state cause failures refusals"
    " is_ambiguous grant_is_over access_lives at mint_ages provider_gate provider_gate_state provider_gate_retry version"
    " app_gate app_gate_state app_gate_retry",
)


class Session:
    """A program's connection to the database: its user, its statements prepared, each call committed at once."""

    def __init__(self, database, role):
        self.role = role
        self.connection = psycopg2.connect(
            host=database.stack.env["PGHOST"], port=database.stack.env["PGPORT"], dbname=database.name, user=USERS[role],
            options="-c search_path=pg_catalog -c timezone=UTC -c jit=off -c lock_timeout=5s")  # fmt: skip
        self.connection.autocommit = True
        self.prepared = set()

    def run(self, name, *values):
        statement = BY_NAME[name]
        assert self.role in statement.roles and len(values) == len(statement.types), name
        word = name.replace("/", "_")
        with self.connection.cursor() as cursor:
            if name not in self.prepared:
                cursor.execute(f"prepare {word} as {statement.sql}")
                self.prepared.add(name)
            cursor.execute(f"execute {word}" + (f" ({', '.join(['%s'] * len(values))})" if values else ""), values or None)
            return cursor.fetchall() if cursor.description else []

    def plan(self, name, *values):
        """Every node of its plan, with the numbers of a real execution that is undone."""
        with self.connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute(f"prepare planned as {BY_NAME[name].sql}")
            cursor.execute(f"explain (analyze, format json) execute planned ({', '.join(['%s'] * len(values))})", values)
            root = cursor.fetchone()[0][0]["Plan"]
            cursor.execute("rollback")
            cursor.execute("deallocate planned")
        return list(nodes(root))

    @contextmanager
    def transaction(self):
        with self.connection.cursor() as cursor:
            cursor.execute("begin")
            try:
                yield
            except BaseException:
                cursor.execute("rollback")
                raise
            cursor.execute("commit")

    @contextmanager
    def undone(self):
        with self.connection.cursor() as cursor:
            cursor.execute("begin")
            try:
                yield
            finally:
                cursor.execute("rollback")

    # the statements by what they are for

    def claim(self, ids, owner="spool", why="due", generation=None, lease_s=LEASE_S):
        return [Claim(*row) for row in self.run("renewal/claim", ids, owner, lease_s, why, generation)]

    def renewed(self, *renewals):
        return [row[:2] for row in self.run("renewal/renewed", json.dumps(renewals), *ORIGIN)]

    def failed(self, *failures):
        return [row[:2] for row in self.run("renewal/failed", json.dumps(failures), *ORIGIN)]

    def deferred(self, *deferrals):
        return [row[0] for row in self.run("renewal/deferred", json.dumps(deferrals))]

    def override(self, connection, generation=None, **grant):
        """What an override or a re-authorization does, step by step; the caller's transaction."""
        client, provider, last, *_ = self.run("connection/lock", connection)[0]
        generation = generation or last + 1
        self.run("token/retire", connection, "override", "person", "why not")
        self.run("token/put", connection, generation, b"access of a person", b"refresh of a person", f"fp-{generation}-person",
                 "fp-refresh", "Bearer", 3600, None, None, 0, None)  # fmt: skip
        self.run("connection/granted", connection, grant.get("app"), "us", None, None, "{}", generation, "none", 600, 300,
                 grant.get("account"), False)  # fmt: skip
        self.run("token/announce", client, provider, generation)
        return generation


ORIGIN = ("host", "program", "request", "run", "system:refresh", "cron", None)


def nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def renewal(claim, **changes):
    """A renewed token as fcgi/store/renewal.c writes it."""
    start = claim.generation
    return {
        "id": claim.id, "fence": claim.fence, "from": start, "to": start + 1, "access": "ac0e", "refresh": "4ef0",
        "access_fp": f"fp-{start + 1}", "refresh_fp": f"fp-refresh-{start + 1}", "type": "Bearer", "life": 3600,
        "refresh_life": None, "idle": None, "asked_at": claim.at, "api_domain": None, "scope": None, "scope_is": "whole",
        "margin": 600, "late": 600, "why": "due",
    } | changes  # fmt: skip


def failure(claim, **changes):
    return {
        "id": claim.id, "fence": claim.fence, "from": claim.generation, "state": "live", "cause": "provider_outage",
        "wait_s": 30, "deferred_by": "backoff", "refusals": 0, "ambiguous": False, "asked": True, "code": "http_503",
        "why": "due",
    } | changes  # fmt: skip


class Rows(Database):
    """The database and what is in it. Names are new each time, so that tests do not meet."""

    def __init__(self, stack):
        super().__init__(stack)
        code, error = self.migrate()
        assert code == 0, error
        self.admin = psycopg2.connect(
            host=stack.env["PGHOST"], port=stack.env["PGPORT"], dbname=self.name, user=stack.env["PGUSER"], options="-c timezone=UTC"
        )
        self.admin.autocommit = True
        self.sessions = []

    def sql(self, text, *values):
        if not hasattr(self, "admin"):
            return super().sql(text, *values)
        with self.admin.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def session(self, role):
        self.sessions.append(Session(self, role))
        return self.sessions[-1]

    def close(self):
        for session in self.sessions:
            session.connection.close()
        self.sessions.clear()

    def empty(self):
        """The audit trail stays: it cannot be emptied."""
        self.sql("truncate vestal.client, vestal.provider_state, vestal.refresh_run, vestal.outbox cascade")

    def provider(self):
        """A name of one test's own."""
        return f"p_{secrets.token_hex(6)}"

    def app(self, provider, datacenter="us"):
        return self.sql(
            "insert into vestal.app (provider, datacenter, oauth_client_id, secret_sealed, redirect_uri)"
            " values (%s, %s, 'id', 'x', 'https://x/') returning id", provider, datacenter)[0][0]  # fmt: skip

    def add(self, n=1, provider=None, datacenter="us", token=True, **columns):
        """n connections that are due, with a token each; columns and token: SQL, which may use their number i."""
        provider = provider or self.provider()
        fields = {
            "datacenter": f"'{datacenter}'", "state": "'live'", "cause": "'none'", "last_generation": "5",
            "next_refresh_at": "now() - interval '1 minute'", "overdue_at": "now() + interval '9 minutes'",
            "last_refreshed_at": "now() - interval '50 minutes'", "last_proved_at": "now() - interval '50 minutes'",
        } | columns  # fmt: skip
        held = {
            "generation": "5", "access_sealed": "'\\x0a'", "refresh_sealed": "'\\x0b'", "access_fingerprint": "'fp-5'",
            "refresh_fingerprint": "'fp-refresh-5'", "token_type": "'Bearer'", "issued_at": "now() - interval '50 minutes'",
            "expires_at": "now() + interval '10 minutes'", "granted_at": "now() - interval '30 days'",
        } | (token if isinstance(token, dict) else {})  # fmt: skip
        self.sql("insert into vestal.provider_state (provider, datacenter) values (%s, %s) on conflict do nothing", provider, datacenter)
        batch = secrets.token_hex(6)
        with self.admin.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute(f"insert into vestal.client (id, name) select 'c-{batch}-' || i, 'A name' from generate_series(1, {n}) i")
            cursor.execute(
                f"insert into vestal.connection (client_id, provider, {', '.join(fields)})"
                f" select 'c-{batch}-' || i, '{provider}', {', '.join(fields.values())} from generate_series(1, {n}) i"
                " order by i returning id"
            )
            ids = [id for (id,) in cursor.fetchall()]
            if token:
                cursor.execute(
                    f"insert into vestal.token (connection_id, {', '.join(held)})"
                    f" select c.id, {', '.join(held.values())} from unnest(array{ids}) with ordinality c(id, i)"
                )
            cursor.execute("commit")
        return ids

    def _one(self, table, key, id):
        with self.admin.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(f"select *, now() as now from vestal.{table} where {key} = %s", (id,))
            row = cursor.fetchone()
            return namedtuple("Row", row)(**row) if row else None

    def connection(self, id):
        return self._one("connection", "id", id)

    def token(self, id):
        return self._one("token", "connection_id", id)

    def gate(self, id):
        return self._one("provider_state", "id", id)

    def report(self, id):
        return self._one("connection_report", "id", id)

    def events(self, connection):
        with self.admin.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("select * from vestal.audit_event where connection_id = %s order by id", (connection,))
            return [namedtuple("Event", row)(**row) for row in cursor.fetchall()]

    def gate_of(self, provider, datacenter="us", app=None):
        rows = self.sql(
            "select id from vestal.provider_state where provider = %s and datacenter = %s and app_id is not distinct from %s",
            provider, datacenter, app)  # fmt: skip
        return rows[0][0] if rows else None

    def set(self, table, id, **columns):
        words = ", ".join(f"{name} = {value}" for name, value in columns.items())
        key = "connection_id" if table == "token" else "id"
        assert self.sql(f"update vestal.{table} set {words} where {key} = %s returning 1", id) == [(1,)]


@contextmanager
def laid_out(stack):
    """A database for a module."""
    made = Rows(stack)
    try:
        yield made
    finally:
        made.close()
        made.admin.close()
        stack.sql(f"drop database {made.name} with (force)")


class Ear:
    """Listens to both channels."""

    def __init__(self, rows):
        self.connection = psycopg2.connect(**rows.admin.get_dsn_parameters())
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute("listen vestal_token; listen vestal_renewal")

    def heard(self):
        """What was said since the last time; a commit is over when its notifications are out."""
        with self.connection.cursor() as cursor:
            cursor.execute("select 1")
        words = [(notify.channel, notify.payload) for notify in self.connection.notifies]
        self.connection.notifies.clear()
        return words


@contextmanager
def behind(rows, session, call):
    """Starts call(session), which has to wait for a lock that the caller holds; gives its future. The caller lets go of
    the lock in the block, and finds the answer after it."""
    pid = session.connection.info.backend_pid
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, session)
        eventually(lambda: future.done() or rows.sql(
            "select count(*) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'", pid) == [(1,)])  # fmt: skip
        assert not future.done(), future.result()
        yield future


def at_once(calls):
    """All calls at the same moment, each in a thread of its own; what they returned."""
    start = threading.Barrier(len(calls))

    def one(call):
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))
