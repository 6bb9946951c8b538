"""PostgreSQL stopped, frozen, broken, changed: what callers see, that it mends by itself, that nothing is half done."""

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import pytest
from harness import Tenant, eventually, query_of

NGINX_WAITS_S = 15  # fastcgi_read_timeout: our own answer has to come before
RETRY_S = 0.6  # longer than RETRY_MS of fcgi/store/db.c


class Postgres:
    """The private cluster of a stack, as its owner and as a saboteur."""

    def __init__(self, stack):
        self.folder = Path(stack.env["PGHOST"]).parent / "pg"
        self.log = Path(stack.env["VESTAL_LOG_DIR"]) / "postgresql.log"
        self.bin = Path(os.readlink(f"/proc/{self.pid()}/exe")).parent

    def pid(self):
        return int((self.folder / "postmaster.pid").read_text().split()[0])

    def ctl(self, *words):
        owner = self.folder.stat()
        who = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run(
            [self.bin / "pg_ctl", "-D", self.folder, "-w", "-t", "60", *words],
            check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)  # fmt: skip

    def start(self):
        self.ctl("-l", str(self.log), "start")

    @contextmanager
    def stopped(self, mode="fast"):
        self.ctl("-m", mode, "stop")
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self):
        """Every process of the cluster holds still: connections stay, nobody answers."""
        postmaster, held = self.pid(), []
        try:
            for pid in chain([postmaster], children_of(postmaster)):  # the children of one that makes no more
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    held.append(pid)
            yield
        finally:
            for pid in held:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def children_of(pid):
    """Looked for only when asked for the first."""
    yield from [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and parent_of(path) == pid]


def parent_of(process):
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture(scope="module")
def postgres(lone_stack):
    return Postgres(lone_stack)


@pytest.fixture
def tenant(lone_stack, sim):
    """Connected, on the stack that is broken here."""
    made = Tenant(lone_stack, sim)
    made.connect()
    yield made
    sim.control("faults", method="DELETE")
    everybody_works(lone_stack)


def requests_of(tenant):
    """One of every route that needs the database: a thunk each."""
    stack, crm = tenant.stack, {"provider": "zoho_crm"}
    return {
        "authorize": lambda: stack.api("GET", f"/api/oauth/authorize/{tenant.id}", **crm),
        "callback": lambda: tenant.callback("/api/oauth/callback/zoho_crm?code=c&state=s"),
        "reauthorize": lambda: stack.api("POST", f"/api/oauth/reauthorize/{tenant.id}", crm),
        "emergency": lambda: stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": tenant.id}),
        "health": lambda: stack.api("GET", "/divine/oauth/health"),
        "token": lambda: tenant.token(),
        "clients": lambda: stack.api("GET", "/api/oauth/clients"),
        "put": lambda: stack.api("PUT", f"/api/oauth/clients/{tenant.id}", {"name": "changed", "providers": []}),
        "stranger": lambda: stack.api("GET", "/api/oauth/clients", key=None),
    }


def unavailable(answer, *slugs):
    assert answer.json["type"].rpartition(":")[2] in slugs, answer
    answer.problem(503, answer.json["type"].rpartition(":")[2])
    assert int(answer.headers["Retry-After"]) > 0


def everybody_works(stack, timeout_s=10):
    """Not one worker, all: until nobody has failed for longer than a worker waits before it connects again."""
    well_since, end = None, time.monotonic() + timeout_s
    while not well_since or time.monotonic() - well_since < RETRY_S:
        well = (
            stack.api("GET", "/divine/oauth/health", clientId="nobody").status == 200
            and stack.api("GET", "/api/oauth/authorize/nobody", provider="zoho_crm").status == 404  # the flow pool
        )
        well_since = (well_since or time.monotonic()) if well else None
        assert time.monotonic() < end, "somebody does not recover"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_database_stopped(tenant, postgres, mode):
    stack = tenant.stack
    workers, tables, target = sorted(stack.workers()), stack.tables(), tenant.consent(tenant.begin())
    attempted = stack.tables()["authorization_attempt"]
    calls = len(tenant.calls())
    with postgres.stopped(mode):
        for name, ask in requests_of(tenant).items():
            begun = time.monotonic()
            unavailable(ask(), "database_unavailable")
            assert time.monotonic() - begun < 5, name
        ready, alive = (stack.api("GET", path, key=None) for path in ("/readyz", "/healthz"))
        assert ready.status == 503 and ready.json["ready"] is False and ready.json["checks"]["database"] == "database_unavailable"
        assert alive.status == 200 and alive.json == {"status": "ok"}
        unavailable(tenant.callback(target), "database_unavailable")
        assert len(tenant.calls()) == calls, "no byte went out for a flow that could not be recorded"
    everybody_works(tenant.stack)
    assert sorted(stack.workers()) == workers, "nobody had to be started anew"
    assert stack.tables() == tables | {"authorization_attempt": attempted}
    assert tenant.callback(target).json["generation"] == 2, "the flow outlived it"
    assert stack.api("GET", "/readyz", key=None).json["checks"]["database"] == "ok"


def test_page_while_the_database_is_away(tenant, postgres):
    target = tenant.consent(tenant.begin())
    with postgres.stopped():
        answer = tenant.callback(target, accept="text/html,*/*;q=0.1")
        assert answer.status == 503 and answer.headers["Content-Type"].startswith("text/html")
        assert "The database cannot be reached" in answer.body.decode() and answer.headers["Retry-After"]
        assert query_of(target)["code"] not in answer.body.decode()


def test_a_dead_database_costs_little(tenant, postgres):
    """Refused connections are not tried for every request."""
    with postgres.stopped():
        begun = time.monotonic()
        for _ in range(50):
            unavailable(tenant.token(), "database_unavailable")
        assert time.monotonic() - begun < 3


def test_database_frozen(tenant, postgres):
    stack = tenant.stack
    workers, tables = sorted(stack.workers()), stack.tables()
    with postgres.frozen():
        for name in ("token", "put", "reauthorize", "health", "token"):
            begun = time.monotonic()
            unavailable(requests_of(tenant)[name](), "database_timeout", "database_unavailable")
            assert time.monotonic() - begun < NGINX_WAITS_S - 1
        assert stack.api("GET", "/healthz", key=None).status == 200
        ready = stack.api("GET", "/readyz", key=None)
        assert ready.status == 503 and ready.json["ready"] is False
    everybody_works(tenant.stack)
    assert sorted(stack.workers()) == workers and stack.tables() == tables


@contextmanager
def row_held(tenant):
    """Somebody else holds the connection's row; gives the cursor of a second session."""
    holder, other = tenant.stack.connect_database(), tenant.stack.connect_database()
    holder.autocommit = False
    holder.cursor().execute("select from vestal.connection where client_id = %s for update", (tenant.id,))
    try:
        yield other.cursor()
    finally:
        holder.rollback()
        holder.close()
        other.close()


WAITING = "select pid from pg_stat_activity where usename = 'vestal_worker' and wait_event_type = 'Lock'"


def waiting(cursor):
    cursor.execute(WAITING)
    return [pid for (pid,) in cursor.fetchall()]


@pytest.mark.parametrize("name", ["reauthorize", "callback"])
def test_backend_killed_within_a_transaction(tenant, name):
    """The worker waits for a row when its connection dies: 503, nothing of the transaction is there."""
    target = tenant.consent(tenant.begin())
    ask = requests_of(tenant)["reauthorize"] if name == "reauthorize" else lambda: tenant.callback(target)
    kept = {table: rows for table, rows in tenant.stack.tables().items() if table != "authorization_attempt"}
    value, answers = tenant.token().json["access_token"], []
    with row_held(tenant) as cursor:
        caller = threading.Thread(target=lambda: answers.append(ask()))
        caller.start()
        (pid,) = eventually(lambda: waiting(cursor))
        cursor.execute("select pg_terminate_backend(%s)", (pid,))
        caller.join()
    unavailable(answers[0], "database_unavailable")
    everybody_works(tenant.stack)
    after = tenant.stack.tables()
    assert {table: rows for table, rows in after.items() if table != "authorization_attempt"} == kept
    assert tenant.token().json["access_token"] == value
    if name == "callback":
        (event,) = tenant.stack.audit(client_id=tenant.id, action="authorize.failed")
        assert (event["outcome"], event["reason"]) == ("error", "database_unavailable")
    assert tenant.connect()["generation"] == 2


def test_row_that_stays_locked(tenant):
    with row_held(tenant):
        begun = time.monotonic()
        unavailable(requests_of(tenant)["reauthorize"](), "database_timeout")
        assert time.monotonic() - begun < NGINX_WAITS_S - 1
    assert tenant.token().json["generation"] == 1


def kill_backends(stack):
    """Ends the workers' connections, and comes back when they have ended."""
    query = "from pg_stat_activity where usename = 'vestal_worker'"
    killed = [pid for pid, _ in stack.sql(f"select pid, pg_terminate_backend(pid) {query}")]
    eventually(lambda: stack.sql(f"select count(*) {query} and pid = any (%s)", killed) == [(0,)])
    return len(killed)


def test_backends_killed_between_requests(tenant):
    """A connection closed while nobody looked costs no request: failovers and idle timeouts do that."""
    everybody_works(tenant.stack)
    for _ in range(5):
        assert kill_backends(tenant.stack) >= 1
        for _ in range(4):
            assert tenant.token().status == 200


@pytest.mark.parametrize("place", ["token", "probe"])
def test_backends_killed_while_the_provider_is_asked(tenant, place):
    """The code can be used once: the token that it brought is not lost for a connection that can be made again."""
    target, answers = tenant.consent(tenant.begin()), []
    tenant.sim.control("faults", {"at": place, "mode": "hang"})
    caller = threading.Thread(target=lambda: answers.append(tenant.callback(target)))
    caller.start()
    tenant.sim.control("wait", {"at": "hang", "count": 1})
    kill_backends(tenant.stack)
    tenant.sim.control("faults", method="DELETE")
    caller.join()
    assert answers[0].status == 200 and answers[0].json["generation"] == 2, answers
    assert tenant.token().json["access_token"] == tenant.issued()[-1]


def test_database_lost_while_the_provider_is_asked(tenant, postgres):
    """It cannot be stored, so it is not said to be; the old token serves on, and the attempt is used up."""
    target, answers = tenant.consent(tenant.begin()), []
    value = tenant.token().json["access_token"]
    tenant.sim.control("faults", {"at": "probe", "mode": "hang"})
    caller = threading.Thread(target=lambda: answers.append(tenant.callback(target)))
    caller.start()
    tenant.sim.control("wait", {"at": "hang", "count": 1})
    with postgres.stopped():
        tenant.sim.control("faults", method="DELETE")
        caller.join()
    unavailable(answers[0], "database_unavailable")
    everybody_works(tenant.stack)
    assert tenant.token().json["access_token"] == value
    tenant.callback(target).problem(400, "state_unknown")
    assert tenant.connect()["generation"] == 2


def test_another_schema_version(tenant):
    stack = tenant.stack
    workers = sorted(stack.workers())
    stack.sql("insert into vestal.schema_migration (version, name, sha256) values (9999, '9999_later.sql', '')")
    try:
        kill_backends(stack)
        for name, ask in requests_of(tenant).items():
            unavailable(ask(), "schema_mismatch")
        ready = stack.api("GET", "/readyz", key=None)
        assert ready.status == 503 and ready.json["checks"]["database"] == "schema_mismatch"
        assert stack.api("GET", "/healthz", key=None).status == 200
    finally:
        stack.sql("delete from vestal.schema_migration where version = 9999")
    everybody_works(tenant.stack)
    assert sorted(stack.workers()) == workers


def test_a_table_is_gone(tenant):
    """As when an older schema is restored under running workers."""
    stack = tenant.stack
    stack.sql("alter table vestal.token rename to token_away")
    try:
        kill_backends(stack)
        unavailable(tenant.token(), "schema_mismatch")
    finally:
        stack.sql("alter table vestal.token_away rename to token")
    everybody_works(tenant.stack)


def test_no_audit_no_token(tenant):
    """The right to write the trail is taken away: not one token leaves, nothing changes; then all is as before."""
    stack, target = tenant.stack, tenant.consent(tenant.begin())
    assert tenant.token().status == 200
    value, tables = tenant.issued()[-1], stack.tables()
    columns = [name for (name,) in stack.sql(
        "select column_name from information_schema.column_privileges where table_schema = 'vestal'"
        " and table_name = 'audit_event' and grantee = 'vestal_worker' and privilege_type = 'INSERT'")]  # fmt: skip
    assert len(columns) > 10
    stack.sql(f"revoke insert ({', '.join(columns)}) on vestal.audit_event from vestal_worker")
    try:
        for number in range(50):
            answer = tenant.token(**({"min_ttl": 5} if number % 2 else {}))
            assert answer.status >= 500 and value.encode() not in answer.body, answer
        for name, ask in requests_of(tenant).items():
            if name not in ("health", "clients"):  # these change nothing and hand out nothing
                assert ask().status >= 400, name
        assert stack.tables() == tables
        issued = len(tenant.issued())
        assert tenant.callback(target).status >= 500
        assert tenant.stack.sql("select last_generation from vestal.connection where client_id = %s", tenant.id) == [(1,)]
    finally:
        stack.sql(f"grant insert ({', '.join(columns)}) on vestal.audit_event to vestal_worker")
    everybody_works(tenant.stack)
    assert tenant.token().json["access_token"] == tenant.issued()[issued - 1]
    assert tenant.connect()["generation"] == 2


def test_full_connections(tenant, postgres):
    """No connection to be had: 503, and back as soon as there is one."""
    stack = tenant.stack
    stack.sql("alter role vestal_worker connection limit 0")
    try:
        kill_backends(stack)
        unavailable(tenant.token(), "database_unavailable")
    finally:
        stack.sql("alter role vestal_worker connection limit -1")
    everybody_works(tenant.stack)
