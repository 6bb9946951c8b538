"""What tests of renewal share: a stack whose providers rotate in every way, the refresher, and the provider's books.

Whether something was lost is asked of the simulator's ledger, never of our own database. Times that are stored are
shifted; nothing waits for a clock. Fixtures are imported from here by the files that use them.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import MARKER, TREE, Stack, Tenant, down, free_port, up
from sim_harness import Sim
from test_database_away import Postgres

TIMEOUT_S = 2  # provider_timeout_s of the stack
LEASE_S = 10
PATIENT = {"provider_timeout_s": 30, "lease_s": 60}  # of a run whose provider waits for the test
GRACE_S = 600
ROTATIONS = {"sim_never": "never", "sim_grace": "grace", "sim_strict": "strict"}
# Each of its own gate, so that what one test breaks no other meets. "simple" has neither quota nor confirmation.
SIMPLE = ("sim_down", "sim_mass", "sim_noisy", "sim_calm", "sim_app", "sim_quick", "sim_crowd", "sim_told", "sim_told_app", "sim_storm",
          "sim_four", "sim_pages")
ZOHO = ("zoho_crm", "zoho_calendar")
OIDC = "sim_oidc"


def definitions(folder, sim_port, oidc_port):
    """The simulator's own copies of the built-in definitions, and what is made of them under other names."""
    subprocess.run(
        [sys.executable, str(TREE / "tests/sim/zoho_sim.py"), "providers", "--port", str(sim_port),
         "--builtin", str(TREE / "fcgi/oauth/providers"), "--out", str(folder)], check=True, capture_output=True)  # fmt: skip
    zoho = json.loads((folder / "zoho_crm.json").read_text())
    plain = {key: value for key, value in zoho.items() if key not in ("confirm_dead_s", "mint_quota")}
    changed = {name: {} for name in SIMPLE} | {
        "sim_never": {},
        "sim_grace": {"rotation": "always", "reuse_grace_s": GRACE_S},
        "sim_strict": {"rotation": "always"},
        "sim_rfc": {"verdicts": [rule for rule in plain["verdicts"] if rule["at"] != "revoke"]},
        "sim_unrevoked": {"revoke_url": None, "revoke": None},
        "sim_noapp": {},
    }
    for name, changes in changed.items():
        (folder / f"{name}.json").write_text(json.dumps(
            {key: value for key, value in (plain | {"name": name, "title": name} | changes).items() if value is not None}, indent=1))
    issuer = f"http://127.0.0.1:{oidc_port}"
    oidc = {
        "name": OIDC, "allow_loopback_http": True, "issuer": issuer, "authorize_url": f"{issuer}/auth",
        "token_url": f"{issuer}/token", "revoke_url": f"{issuer}/token/revocation",
        "introspect_url": f"{issuer}/token/introspection", "scopes": ["openid", "mail"], "client_auth": "basic",
        "rotation": "always", "access_ttl_s": 3600, "renew_before_s": 600,
    }  # fmt: skip
    (folder / f"{OIDC}.json").write_text(json.dumps(oidc))
    return folder


class Finished:
    """A run of the refresher that has ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"<exit {self.code} out={self.out[-1500:]!r} err={self.err[-1500:]!r}>"

    @property
    def json(self):
        return json.loads(self.out)


class Run:
    """A run of the refresher under way."""

    def __init__(self, process):
        self.process = process

    def kill(self):
        self.process.kill()
        return self.wait()

    def wait(self, timeout_s=60):
        out, err = self.process.communicate(timeout=timeout_s)
        return Finished(self.process.returncode, out, err)


class Place:
    """The stack, its simulator, and everything that runs beside them."""

    def __init__(self, stack, sim, oidc_port):
        self.stack, self.sim, self.oidc_port = stack, sim, oidc_port
        self.postgres = Postgres(stack)
        self.state, self.runtime = Path(stack.env["VESTAL_STATE_DIR"]), Path(stack.env["VESTAL_RUNTIME_DIR"])
        owner = self.state.stat()
        self.owner = (owner.st_uid, owner.st_gid)
        self.preload = self._compile()
        self.apps = {}

    def _compile(self):
        """Where the account that runs the workers can read it."""
        library = self.stack.data / "kill_point.so"
        source = TREE / "tests/integration/kill_point.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)], check=True)
        library.chmod(0o755)
        return library

    # --- apps and connections

    def app(self, provider):
        """The provider's app for everybody, made once; its id at the simulator."""
        if provider not in self.apps:
            self.apps[provider] = f"1000.{secrets.token_hex(8).upper()}"
            self.register(provider, f"{MARKER}{secrets.token_hex(12)}")
            own = {"mint_limit": 0} if provider not in ZOHO else {}
            rotation = ROTATIONS.get(provider, "never")
            self.sim.control("settings", {"client_id": self.apps[provider], "rotation": rotation, "grace_s": GRACE_S, **own})
        return self.apps[provider]

    def register(self, provider, secret, ours=None):
        """Both sides learn the app's secret; ours: what we are told instead."""
        redirect = f"{self.stack.env['VESTAL_URL']}/api/oauth/callback/{provider}"
        self.sim.client(self.apps[provider], client_secret=secret, redirect_uris=[redirect])
        self.tell(provider, ours or secret)

    def tell(self, provider, secret):
        redirect = f"{self.stack.env['VESTAL_URL']}/api/oauth/callback/{provider}"
        self.stack.ctl("app", "set", provider, "--client-id", self.apps[provider], "--client-secret-file", "-",
                       "--redirect-uri", redirect, stdin=secret + "\n")  # fmt: skip

    def connect(self, provider, **more):
        connection = Connection(self, provider)
        connection.connect(**more)
        return connection

    def connect_many(self, provider, count):
        self.app(provider)
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda _: self.connect(provider), range(count)))

    def own(self, provider="zoho_crm", **settings):
        """Connected, with an app of its own, whose faults and settings are nobody else's."""
        connection = Owner(self, provider)
        if settings:
            self.sim.control("settings", {"client_id": connection.app_id, **settings})
        connection.connect()
        return connection

    # --- the refresher

    def environment(self, kill=None, cut=None, host=None, clock_s=None, **settings):
        """settings: of vestal.conf, which the environment overrules. The others: kill_point.c."""
        env = {"PATH": os.environ["PATH"], "VESTAL_CONF": self.stack.env["VESTAL_CONF"]}
        told = {"TEST_KILL": kill, "TEST_CUT": cut, "TEST_HOST": host, "TEST_CLOCK_S": clock_s}
        told = {name: str(value) for name, value in told.items() if value is not None}
        if told:
            env |= told | {"LD_PRELOAD": str(self.preload)}
        return env | {f"VESTAL_{name.upper()}": str(value) for name, value in settings.items()}

    def start(self, *options, mode="--due", before=None, **how):
        """before: called in the child before it becomes the refresher."""
        return Run(subprocess.Popen(
            [f"{self.stack.env['VESTAL_BIN']}/vestal-refresh", mode, *options], env=self.environment(**how), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before))  # fmt: skip

    def refresh(self, *options, expect=0, **how):
        done = self.start(*options, **how).wait()
        assert expect is None or done.code == expect, done
        return done

    def another_host(self, name):
        """Settings of a host of that name: its own spool and stores, the same database."""
        state, runtime = self.stack.data / f"state-{name}", self.stack.data / f"runtime-{name}"
        for folder in (state, runtime):
            if not folder.exists():
                folder.mkdir(mode=0o700)
                os.chown(folder, *self.owner)
        return {"host": name, "state_dir": state, "runtime_dir": runtime}

    def spooled(self, state=None):
        """What is left in the spool: files of processes that are gone, and slots in use (they begin with "VSTR")."""
        paths = ((state or self.state) / "spool").glob("*")
        return sorted(path.name for path in paths if not runs(path.name.split(".")[-3]) or b"VSTR\x01" in path.read_bytes())

    def answers_spooled(self):
        """Answers that wait for the database (fcgi/vault/spool.h: their records begin so)."""
        return sum(path.read_bytes().count(b"VSTR\x01A") for path in (self.state / "spool").glob("*"))

    # --- stored times

    def sql(self, text, *values):
        return self.stack.sql(text, *values)

    def make_due(self, *connections):
        """Their time has come, whatever deferred them; not of those that are never asked again."""
        ids = [connection.id for connection in connections]
        self.sql("update vestal.connection set next_refresh_at = now() - interval '1 second'"
                 " where client_id = any (%s) and next_refresh_at is not null", ids)  # fmt: skip

    def retire(self, *connections):
        """They are never due again."""
        ids = [connection.id for connection in connections]
        self.sql("update vestal.connection set next_refresh_at = null where client_id = any (%s)", ids)

    def pass_time(self, seconds, *connections):
        """So much time passes for the connections: everything stored about them is as much older."""
        ids = [connection.id for connection in connections]
        by = f"interval '{int(seconds)} seconds'"
        self.sql(f"""update vestal.connection set next_refresh_at = next_refresh_at - {by}, overdue_at = overdue_at - {by},
            tried_at = tried_at - {by}, lease_until = lease_until - {by}, last_refreshed_at = last_refreshed_at - {by},
            last_error_at = last_error_at - {by}, ambiguous_at = ambiguous_at - {by},
            mints = array(select m - {by} from unnest(mints) m) where client_id = any (%s)""", ids)
        self.sql(f"""update vestal.token t set issued_at = t.issued_at - {by}, expires_at = t.expires_at - {by}
            from vestal.connection c where c.id = t.connection_id and c.client_id = any (%s)""", ids)

    def gate(self, provider, app=False):
        """The gate of the provider's first data centre, or of its app; None: there is none."""
        rows = self.sql("""select row_to_json(g)::text from (select id, state, cause, code, failures, openings,
            extract(epoch from retry_at - now())::float8 as retry_s from vestal.provider_state
            where provider = %s and datacenter = 'us' and (app_id is not null) = %s) g""", provider, app)
        return json.loads(rows[0][0]) if rows else None

    def calm(self, provider=None):
        """No gate, or none of that provider, remembers what it has seen."""
        self.sql("update vestal.provider_state set state = 'closed', failures = 0, openings = 0, code = null, retry_at = null,"
                 " deaths = '{}' where (state <> 'closed' or failures > 0 or deaths <> '{}') and provider = coalesce(%s, provider)",
                 provider)  # fmt: skip

    def ripen_gates(self, provider):
        """The time that its gates were shut for has passed, and so has what was planned by it."""
        self.sql("update vestal.provider_state set retry_at = now() where provider = %s and state <> 'closed'", provider)
        self.sql("update vestal.connection set next_refresh_at = now() where provider = %s and deferred_by = 'gate'", provider)

    def incidents(self, *connections, provider=None):
        """(state, cause) of those that are not resolved: the connections' own, or those of a provider's gates."""
        if provider:
            return self.sql("select i.state, i.cause from vestal.incident i join vestal.provider_state s"
                            " on s.id = i.provider_state_id where s.provider = %s and i.resolved_at is null", provider)  # fmt: skip
        return self.sql("select i.state, i.cause from vestal.incident i join vestal.connection c on c.id = i.connection_id"
                        " where c.client_id = any (%s) and i.resolved_at is null", [c.id for c in connections])  # fmt: skip

    # --- a worker that is not the supervisor's

    @contextmanager
    def worker(self, **how):
        """A worker of the provider pool alone on a socket of its own; gives its process and the socket's path."""
        path = self.stack.data / f"sock/lone-{secrets.token_hex(4)}.sock"
        with socket.socket(socket.AF_UNIX) as listener, open(self.stack.data / "log/lone.log", "ab") as log:
            listener.bind(str(path))
            listener.listen(8)
            who = {"user": self.owner[0], "group": self.owner[1], "extra_groups": []} if os.geteuid() == 0 else {}
            process = subprocess.Popen(
                [f"{self.stack.env['VESTAL_BIN']}/vestal-fcgi", "--pool", "provider"], stdin=listener, stdout=log, stderr=log,
                env=self.environment(**how), cwd="/", **who)  # fmt: skip
            listener.close()  # so that nobody waits for a worker that is gone
            try:
                yield process, path
            finally:
                process.kill()
                process.wait()
                path.unlink()


class Connection(Tenant):
    """A client of a test's own, connected with the provider's app for everybody."""

    def __init__(self, place, provider):
        self.place, self.stack, self.sim, self.provider = place, place.stack, place.sim, provider
        self.app_id = place.app(provider)
        self.id = f"{provider}-{secrets.token_hex(5)}"
        self.user = f"{self.id}@example.com"
        answer = self.stack.api("PUT", f"/api/oauth/clients/{self.id}", {"providers": [provider]})
        assert answer.status == 201, answer

    @property
    def only(self):
        """Options that leave everybody else alone."""
        return "--client", self.id, "--provider", self.provider

    def row(self):
        ((text,),) = self.stack.sql("""select row_to_json(x)::text from (select c.id, c.state, c.cause, c.failures, c.refusals,
            c.deferred_by, c.last_generation, c.lease_owner, c.fence, c.undistributed, c.last_error_code, t.generation,
            cardinality(c.mints) as mints, c.scope, extract(epoch from c.next_refresh_at - now())::float8 as next_s,
            extract(epoch from c.overdue_at - c.next_refresh_at)::float8 as late_s,
            extract(epoch from t.expires_at - now())::float8 as lives_s,
            extract(epoch from t.expires_at - t.issued_at)::float8 as life_s
            from vestal.connection c left join vestal.token t on t.connection_id = c.id
            where c.client_id = %s and c.provider = %s) x""", self.id, self.provider)
        return json.loads(text)

    def health(self):
        return self.stack.report(self.id, self.provider)

    def verdict(self):
        report = self.health()
        return tuple(report[name] for name in ("status", "cause", "action", "owner"))

    def events(self, action):
        return self.stack.audit(client_id=self.id, action=action)

    def books(self):
        return Books(self)

    def fault(self, **rule):
        """At the token endpoint, of this app's refreshes alone."""
        self.sim.control("faults", {"at": "token", "grant": "refresh", "client_id": self.app_id} | rule)

    def wait_for_hang(self, count=1):
        self.sim.control("wait", {"at": "hang", "count": count, "client_id": self.app_id, "timeout_s": 10})

    def environment_file(self):
        path = self.place.runtime / f"env/{self.id}.{self.provider}.env"
        prefix = f"{self.provider.upper()}_"
        return {name.removeprefix(prefix): value for name, value in (line.split("=", 1) for line in path.read_text().splitlines())}

    def copy_generation(self):
        head = (self.place.state / f"copies/{self.id}/{self.provider}.vst").read_bytes()[:13]
        assert head[:5] == b"VSTC\x01"
        return int.from_bytes(head[5:13], "big")

    # --- what has to be true

    def serves(self, value=None, degraded=False):
        """A read gets a token that the ledger says is live: that one, if given."""
        answer = self.token()
        assert answer.status == 200 and answer.json["degraded"] is degraded, (answer.status, self.row())
        served, books = answer.json["access_token"], self.books()
        assert value is None or served == value, "another token than expected"
        if not degraded:
            assert books.state(served) == "live", "a dead token is served as good"
        return served

    def whole(self, generation):
        """Live, nothing pending, the same generation everywhere."""
        row, report = self.row(), self.health()
        assert (row["state"], row["cause"], row["deferred_by"], row["lease_owner"]) == ("live", "none", None, None), row
        assert (row["failures"], row["refusals"], row["last_generation"]) == (0, 0, generation), row
        assert (report["status"], report["generation"]) == ("healthy", generation), report
        assert report["stores"] == {"database": generation, "file": generation, "environment": generation}, report
        assert self.copy_generation() == generation
        assert self.environment_file()["GENERATION"] == str(generation)
        assert self.place.incidents(self) == []

    def accounted(self, lost=0):
        """Every mint but those that were lost is one event of one new generation, without a gap."""
        generations = [event["generation"] for event in self.events("token.renewed")]
        last = self.row()["last_generation"]
        assert generations == list(range(last - len(generations) + 1, last + 1)), generations
        assert len(generations) == len(self.books().mints) - lost, (generations, self.books())

    def renews(self):
        """The stored refresh token works: it is presented, and what comes of it is served."""
        before = len(self.books().asked)
        self.place.make_due(self)
        self.place.refresh(*self.only)
        books = self.books()
        assert len(books.asked) == before + 1 and books.asked[-1]["outcome"] == "ok", books
        self.serves(books.newest)


class Owner(Connection):
    """With an app of its own."""

    def __init__(self, place, provider="zoho_crm"):
        Tenant.__init__(self, place.stack, place.sim, provider)
        self.place = place


class Books:
    """What the simulator knows of a connection's user."""

    def __init__(self, connection):
        ledger = connection.sim.ledger(connection.app_id)
        self.tokens = {row["id"]: row for row in ledger["tokens"] if row["user"] == connection.user}
        self.asked = [row for row in ledger["requests"] if row["grant"] == "refresh" and row["token"] in self.tokens]
        self.mints = [row for row in self.asked if row["outcome"] == "ok"]
        self.by_value = {row["value"]: row for row in self.tokens.values()}

    def __repr__(self):
        return f"<asked {[(row['token'], row['outcome'], row['fault'], row['answered']) for row in self.asked]}>"

    @property
    def newest(self):
        """The access token that was minted last."""
        return [row["value"] for row in self.tokens.values() if row["kind"] == "access"][-1]

    def state(self, value):
        return self.by_value[value]["state"]

    def reuses(self):
        """Presentations of a refresh token that an earlier one had spent: the token, the seconds since then."""
        spent, found = {}, []
        for row in self.asked:
            if row["token"] in spent:
                found.append((row["token"], row["time"] - spent[row["token"]]))
            elif row["outcome"] == "ok" and self.tokens[row["token"]]["state"] != "live":
                spent[row["token"]] = row["time"]
        return found


def all_events(connections, action):
    """Counts by client, in one question."""
    rows = connections[0].stack.sql(
        "select client_id, count(*) from vestal.audit_event where action = %s and client_id = any (%s) group by 1",
        action, [connection.id for connection in connections])  # fmt: skip
    return {connection.id: 0 for connection in connections} | dict(rows)


def runs(pid):
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def kill_process(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


running = []  # the one place of this session: a fixture that two files import is two fixtures


@contextmanager
def started(folder):
    port, oidc_port = free_port(), free_port()
    program = [sys.executable, str(TREE / "tests/sim/zoho_sim.py"), "serve", "--port", str(port)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().startswith("listening")
            (folder / "definitions").mkdir()
            definitions(folder / "definitions", port, oidc_port)
            up(folder / "stack", "--no-demo", "--port", str(free_port()), "--workers", "2",
               "--providers", str(folder / "definitions"), "--set", "rate_per_key=0", "--set", "rate_per_address=0",
               "--set", "rate_admin_actions=0", "--set", f"provider_timeout_s={TIMEOUT_S}", "--set", f"lease_s={LEASE_S}")  # fmt: skip
            yield Place(Stack(folder / "stack"), Sim(port), oidc_port)
            down(folder / "stack", "--remove")
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A stack of their own for tests of renewal, with a simulator of its own."""
    if running:
        yield running[0]
        return
    with started(tmp_path_factory.mktemp("renewal")) as it:
        running.append(it)
        yield it
        running.clear()


@pytest.fixture(autouse=True)
def no_fault_left(place):
    """A test meets neither the faults nor the shut gates of another."""
    yield
    place.sim.control("faults", method="DELETE")
    place.calm()
