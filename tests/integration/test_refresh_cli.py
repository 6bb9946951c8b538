"""vestal-refresh as a person, cron and a program meet it: options, exit codes, what is shown, and how it is ended early;
and what vestalctl tells of runs and tokens."""

import json
import os
import pty
import re
import secrets
import select
import shutil
import signal
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import LONG, eventually
from renewal_harness import TIMEOUT_S, no_fault_left, place  # noqa: F401

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
OUTCOMES = "renewed deferred retry refused dead ambiguous app unreadable superseded busy not_needed".split()


def call(place, *words, **settings):
    """The program with nothing but these words."""
    return subprocess.run(
        [f"{place.stack.env['VESTAL_BIN']}/vestal-refresh", *words], env=place.environment(**settings), capture_output=True,
        text=True, stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip


def runs(place):
    return place.sql("select id, mode, host, exit_code, counts, error, ended_at is not null from vestal.refresh_run order by id")


def newest_run(place):
    names = ("id", "mode", "host", "exit_code", "counts", "error", "has_ended")
    return dict(zip(names, runs(place)[-1]))


# --- the command line


@pytest.mark.parametrize(("words", "said"), [
    (["--check", "--due"], "--check and --due"),
    (["--due", "--all"], "--due and --all"),
    (["acme"], "options only"),
    (["--client"], "--client needs a value"),
    (["--client", "no/client"], "--client: no/client is not a client id"),
    (["--client", "nobody-has-this-name"], "--client: there is no client nobody-has-this-name"),
    (["--provider", "nowhere"], "--provider: nowhere is not a known provider"),
    (["--concurrency", "0"], "--concurrency: 0 is not a number from 1 to 1000"),
    (["--concurrency", "1001"], "--concurrency: 1001"),
    (["--deadline", "86401"], "--deadline: 86401 is not a number from 1 to 86400"),
    (["--json", "--json"], "--json is given twice"),
])  # fmt: skip
def test_bad_usage(place, words, said):
    before = len(runs(place))
    done = call(place, *words)
    assert (done.returncode, done.stdout) == (64, ""), done
    assert said in done.stderr and "usage: vestal-refresh [--due | --all | --check]" in done.stderr
    assert len(runs(place)) == before


def test_help_and_version_need_nothing(place):
    for word, said in (("--help", "usage: vestal-refresh"), ("-h", "--dry-run"), ("--version", "vestal-refresh ")):
        done = call(place, word, conf="/nowhere")
        assert (done.returncode, done.stderr) == (0, "") and said in done.stdout, done


# --- what is shown to programs


def test_a_pipe_gets_a_line_a_connection(place):
    good, bad = place.connect("sim_quick"), place.own()
    bad.fault(mode="status", status=503, times=0)
    place.make_due(good, bad)
    before = bad.row()["generation"]
    assert place.refresh(*good.only).out == f"{good.id}\tsim_quick\trenewed\tnone\t-\t2\n"
    words = place.refresh(*bad.only).out.removesuffix("\n").split("\t")
    assert words[:4] == [bad.id, "zoho_crm", "retry", "provider_outage"] and words[4] not in ("", "-"), words
    assert words[5] == str(before)
    assert place.refresh(*good.only).out == "", "nothing was due any more"


def test_one_document(place):
    good, bad = place.connect("sim_quick"), place.connect("sim_quick")
    place.sim.control("revoke", {"user": bad.user, "client_id": bad.app_id})
    place.make_due(good, bad)
    done = place.refresh("--json", "--provider", "sim_quick", expect=2)
    told = done.json
    assert list(told) == ["runId", "mode", "dryRun", "host", "startedAt", "endedAt", "exitCode", "error", "due", "counts",
                          "needPerson", "recovered", "revocations", "renewalMs", "stores", "cutShort", "connections", "connectionsOmitted"]  # fmt: skip
    assert (told["mode"], told["dryRun"], told["exitCode"], told["error"], told["cutShort"]) == ("due", False, 2, None, False)
    assert list(told["counts"]) == OUTCOMES and told["counts"]["renewed"] >= 1 and told["counts"]["dead"] == 1
    assert told["due"] == sum(told["counts"].values()) == told["counts"]["renewed"] + len(told["connections"])
    (dead,) = [one for one in told["connections"] if one["clientId"] == bad.id]
    assert dead == {"clientId": bad.id, "provider": "sim_quick", "outcome": "dead", "cause": "user_revoked",
                    "code": dead["code"], "generation": 1, "waitSeconds": None} and dead["code"]  # fmt: skip
    assert good.id not in done.out
    assert told["needPerson"]["total"] == told["needPerson"]["reauthorize"] >= 1
    assert told["recovered"] == {"spools": 0, "stored": 0, "ambiguous": 0, "released": 0, "left": 0}
    assert told["stores"]["behind"] == 0
    for moment in (told["startedAt"], told["endedAt"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
    row = newest_run(place)
    assert row["id"] == told["runId"] and row["host"] == told["host"] and row["exit_code"] == 2 and row["has_ended"]
    kept = {name: told[name] for name in ("due", "needPerson", "recovered", "revocations", "renewalMs", "stores", "cutShort")} | told["counts"]
    assert row["counts"] == kept and row["mode"] == "due" and row["error"] is None


def test_all_is_another_mode(place):
    connection = place.connect("sim_quick")
    assert place.refresh(*connection.only).out == ""
    assert place.refresh(*connection.only, mode="--all").out.split("\t")[2] == "renewed"
    assert newest_run(place)["mode"] == "all"


# --- exit codes


def as_the_view_says(place):
    """Of all connections, read the slow way."""
    rows = place.sql("""select action from vestal.connection_report
        where status in ('invalid', 'quarantined') or (cause = 'app_credentials' and status <> 'missing')""")
    words = {"reauthorize": "reauthorize", "fixApp": "fix_app", "investigate": "investigate"}
    return {"total": len(rows)} | {name: rows.count((action,)) for name, action in words.items()}


def test_who_needs_a_person_counts(place):
    """Within what the options name, and whether this run touched them or not."""
    bad, never = place.connect("sim_calm"), place.connect("sim_calm")
    place.stack.ctl("connect", bad.id, "sim_noisy")  # never connected
    place.stack.ctl("connect", never.id, "sim_noisy")
    for cause, state, need in (("user_revoked", "invalid", "reauthorize"), ("sealed_unreadable", "quarantined", "investigate"),
                               ("app_credentials", "live", "fixApp")):  # fmt: skip
        place.sql("update vestal.connection set state = %s, cause = %s where client_id = %s and provider = 'sim_calm'",
                  state, cause, bad.id)  # fmt: skip
        told = place.refresh("--json", "--client", bad.id, expect=2).json
        assert told["due"] == 0 and told["needPerson"] == {"total": 1, "reauthorize": 0, "fixApp": 0, "investigate": 0} | {need: 1}
        assert place.refresh("--dry-run", "--json", expect=2).json["needPerson"] == as_the_view_says(place)
        place.refresh("--client", bad.id, "--provider", "sim_noisy", expect=0)
        place.refresh("--client", never.id, expect=0)
        assert place.refresh("--dry-run", "--client", bad.id, expect=2).out.endswith(" 1 need a person\n")
    place.sql("update vestal.connection set state = 'live', cause = 'none' where client_id = %s and provider = 'sim_calm'", bad.id)
    place.refresh("--client", bad.id, expect=0)


def test_an_app_that_is_refused_needs_a_person(place):
    """Also for connections that nobody has asked since."""
    connection = place.own()
    place.sql("""insert into vestal.provider_state (provider, datacenter, app_id, state, cause, retry_at)
        select provider, datacenter, app_id, 'open', 'app_credentials', now() + interval '1 hour'
        from vestal.connection where client_id = %s""", connection.id)  # fmt: skip
    for state in ("live", "invalid"):  # what it needs first is the app
        place.sql("update vestal.connection set state = %s where client_id = %s", state, connection.id)
        told = place.refresh("--json", *connection.only, expect=2).json
        assert told["needPerson"] == {"total": 1, "reauthorize": 0, "fixApp": 1, "investigate": 0}
        assert place.refresh("--dry-run", "--json", expect=2).json["needPerson"] == as_the_view_says(place)
    place.sql("update vestal.connection set state = 'live' where client_id = %s", connection.id)
    place.sql("update vestal.provider_state s set state = 'closed' from vestal.connection c where c.app_id = s.app_id and c.client_id = %s",
              connection.id)  # fmt: skip
    place.refresh(*connection.only, expect=0)


@pytest.mark.parametrize(("settings", "said"), [
    ({"database": "host=/nowhere dbname=vestal"}, "setting database (set in environment)"),
    ({"database": "dbname=vestal user=vestal_worker"}, "must name no user"),
    ({"lease_s": "1"}, "lease_s"),
    ({"key_dir": "/nowhere"}, "there is no such key ring"),
    ({"provider_dir": "/dev/null"}, "provider"),
])  # fmt: skip
def test_a_run_that_cannot_begin(place, settings, said):
    before = len(runs(place))
    done = call(place, **settings)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert re.search(rf"^vestal-refresh: .*{re.escape(said)}", done.stderr, re.M), done.stderr
    assert len(runs(place)) == before


def test_without_a_spool_nothing_is_asked(place):
    connection = place.connect("sim_quick")
    place.make_due(connection)
    spool = place.state / "spool"
    aside = place.state / "spool-aside"
    asked = len(connection.books().asked)
    if spool.exists():
        spool.rename(aside)
    spool.write_text("")  # not a folder
    os.chown(spool, *place.owner)
    try:
        done = place.refresh("--json", *connection.only, expect=1)
        assert done.json["error"] == "storage" and done.json["exitCode"] == 1 and done.json["needPerson"] is None
        assert re.search(r"^vestal-refresh: .*A file could not be read or written", done.err, re.M), done.err
        assert f"is {place.state}/spool there" in done.err
        assert newest_run(place)["error"] == "storage" and newest_run(place)["exit_code"] == 1 and newest_run(place)["has_ended"]
        assert re.search(r"^fail +spool ", place.stack.ctl("doctor", check=False).stdout, re.M)
    finally:
        spool.unlink()
        if aside.exists():
            aside.rename(spool)
    assert len(connection.books().asked) == asked
    connection.renews()


@pytest.mark.skipif(not LONG, reason="a run waits half a minute for its database")
def test_a_database_that_goes_away(place):
    """The run ends with 1 and says so; what it had done stays."""
    connections = place.connect_many("sim_quick", 6)
    place.sim.control("settings", {"client_id": connections[0].app_id, "latency_ms": 300})
    place.make_due(*connections)
    run = place.start("--concurrency", "1", "--provider", "sim_quick", "--json")
    eventually(lambda: any(c.books().mints for c in connections))
    with place.postgres.stopped("immediate"):
        done = run.wait(120)
    place.sim.control("settings", {"client_id": connections[0].app_id, "latency_ms": 0})
    assert done.code == 1 and done.json["error"].startswith("database"), done
    assert "vestal-refresh: " in done.err
    eventually(lambda: place.stack.request("GET", "/readyz").status == 200)
    place.refresh("--provider", "sim_quick", expect=None)
    for connection in connections:
        connection.serves()


def test_output_that_nobody_takes_stops_no_renewal(place):
    connections = place.connect_many("sim_quick", 3)
    place.make_due(*connections)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([f"{place.stack.env['VESTAL_BIN']}/vestal-refresh", "--provider", "sim_quick"], stdout=full,
                              stderr=subprocess.PIPE, text=True, env=place.environment(), timeout=60)  # fmt: skip
    assert done.returncode == 1 and "standard output could not be written" in done.stderr, done
    assert [c.row()["generation"] for c in connections] == [2, 2, 2]
    assert newest_run(place)["exit_code"] in (0, 2), "the run itself was good"


# --- trying it out


def test_a_dry_run_changes_nothing(place):
    due, waits = place.own(), place.own()
    place.make_due(due)
    place.sql("update vestal.connection set deferred_by = 'rate', next_refresh_at = now() + interval '900 seconds' where client_id = %s",
              waits.id)  # fmt: skip
    before, files = place.stack.tables(), sorted(str(path) for path in place.state.rglob("*"))
    events = place.sql("select count(*) from vestal.audit_event")
    text = place.refresh("--dry-run", expect=None).out
    assert re.search(rf"^{due.id} +zoho_crm +renew +due +\d+ s +- +none +its time has come$", text, re.M), text
    assert waits.id not in text
    told = place.refresh("--dry-run", "--json", "--client", waits.id, mode="--all").json
    (one,) = told["connections"]
    assert 890 <= one.pop("waitSeconds") <= 900
    assert one == {"clientId": waits.id, "provider": "zoho_crm", "would": "wait", "why": "rate", "overdueSeconds": 0, "cause": "none"}
    assert told["counts"] == {"renew": 0, "settle": 0, "wait": 1} and (told["mode"], told["dryRun"]) == ("all", True)
    assert place.stack.tables() == before and place.sql("select count(*) from vestal.audit_event") == events
    assert sorted(str(path) for path in place.state.rglob("*")) == files
    assert due.books().asked == [] and waits.books().asked == []
    place.refresh(*due.only)
    assert len(due.books().asked) == 1, "what it had said comes true"


# --- a person at a terminal


class Terminal:
    """The program behind a terminal of its own."""

    def __init__(self, place, *words, stdout=None):
        self.master, slave = pty.openpty()
        subprocess.run(["stty", "cols", "100"], stdin=slave, check=True)
        env = place.environment() | {"TERM": "xterm"}
        self.process = subprocess.Popen([f"{place.stack.env['VESTAL_BIN']}/vestal-refresh", *words], stdin=slave,
                                        stdout=stdout or slave, stderr=slave, env=env, start_new_session=True)  # fmt: skip
        os.close(slave)
        self.text = ""

    def read(self, until=None, timeout_s=60):
        """What it shows: to its end, or until a text is there."""
        while until is None or until not in self.text:
            ready, _, _ = select.select([self.master], [], [], timeout_s)
            assert ready, f"it shows nothing more: {self.text!r}"
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                break
            self.text += piece.decode()
        return self.text

    def end(self):
        self.read()
        os.close(self.master)
        return self.process.wait(60)


@contextmanager
def slow(connection, latency_ms):
    place = connection.place
    place.sim.control("settings", {"client_id": connection.app_id, "latency_ms": latency_ms})
    yield
    place.sim.control("settings", {"client_id": connection.app_id, "latency_ms": 0})


def test_a_person_sees_how_far_it_is(place):
    connections = place.connect_many("sim_quick", 12)
    place.make_due(*connections)
    with slow(connections[0], 150):
        terminal = Terminal(place, "--provider", "sim_quick", "--concurrency", "1")
        code = terminal.end()
    drawn = re.findall(r"\r(\[[#-]+\] (\d+)/(\d+)[^\r]*)\x1b\[K", terminal.text)
    assert len(drawn) >= 5, terminal.text
    counts = [int(done) for _, done, _ in drawn]
    assert counts == sorted(counts) and counts[0] == 0 and {int(total) for *_, total in drawn} == {int(drawn[0][2])}
    assert re.search(r"\d/s  0:0\d left$", drawn[-1][0]), drawn[-1]
    assert all(len(line) < 100 for line, *_ in drawn)
    before, erased, summary = terminal.text.rpartition("\r\x1b[K")
    assert erased and "OUTCOME" not in before and "\x1b[K" not in summary, "the line is gone before the table comes"
    shown = re.sub(r"\x1b\[\d+m", "", summary).replace("\r\n", "\n")
    for word in (*OUTCOMES[:-1], "stores behind", "recovered", "needs a person"):
        assert re.search(rf"^{word} +\d+  ", shown, re.M), (word, shown)
    assert re.search(r"^renewed +12 ", shown, re.M) and re.search(r"^due run \d+, [\d.]+ s$", shown, re.M), shown
    assert '"event"' not in terminal.text, "the service's events are for its log"
    assert code in (0, 2)


def test_a_person_who_sends_the_lines_elsewhere(place, tmp_path):
    connection = place.connect("sim_quick")
    place.make_due(connection)
    with open(tmp_path / "lines", "w", encoding="ascii") as lines:
        terminal = Terminal(place, *connection.only, stdout=lines)
        assert terminal.end() == 0
    assert (tmp_path / "lines").read_text() == f"{connection.id}\tsim_quick\trenewed\tnone\t-\t2\n"
    assert "needs a person" in terminal.text


# --- ended early


def test_a_signal_lets_it_finish_what_is_on_its_way(place):
    connections = place.connect_many("sim_quick", 16)
    place.make_due(*connections)
    with slow(connections[0], 250):
        run = place.start("--provider", "sim_quick", "--concurrency", "2")
        first = run.process.stdout.readline()
        run.process.send_signal(signal.SIGTERM)
        done = run.wait()
    lines = [first, *done.out.splitlines(keepends=True)]
    assert done.code in (0, 2) and "cut short" in done.err, done
    row = newest_run(place)
    assert row["has_ended"] and row["counts"]["cutShort"] and row["counts"]["renewed"] < len(connections), row
    asked = [c for c in connections if c.books().asked]
    assert 2 <= len(asked) < len(connections)
    assert {c.id for c in asked} <= {line.split("\t")[0] for line in lines if line.split("\t")[2] == "renewed"}
    for connection in asked:
        connection.whole(generation=2)
    assert all(c.row()["lease_owner"] is None for c in connections), "nobody waits for a lease"
    place.refresh("--provider", "sim_quick", expect=None)
    for connection in connections:
        connection.whole(generation=2)


def test_a_second_signal_ends_it_at_once(place):
    connection = place.own()
    connection.fault(mode="hang", act=True, times=1)
    place.make_due(connection)
    run = place.start(*connection.only)
    connection.wait_for_hang()
    run.process.send_signal(signal.SIGTERM)
    run.process.send_signal(signal.SIGTERM)  # twice at once is once: timeout(1) does so

    def ended():
        run.process.send_signal(signal.SIGTERM)
        return run.process.poll() is not None

    eventually(ended, timeout_s=TIMEOUT_S - 0.5)  # before its request has run into its own limit
    assert run.wait().code == -signal.SIGTERM
    place.sim.control("faults", method="DELETE")
    assert newest_run(place)["has_ended"] is False
    place.refresh(*connection.only, expect=None)  # settles it: the provider does not rotate
    connection.renews()


def test_a_deadline_ends_it_early(place):
    connections = place.connect_many("sim_quick", 8)
    place.make_due(*connections)
    with slow(connections[0], 400):
        done = place.refresh("--provider", "sim_quick", "--concurrency", "1", "--deadline", "1", "--json", expect=None)
    assert done.code in (0, 2) and done.json["cutShort"] is True
    assert 1 <= done.json["counts"]["renewed"] < 8, done
    place.refresh("--provider", "sim_quick", expect=None)
    assert [c.row()["generation"] for c in connections] == [2] * 8


def test_a_person_who_presses_ctrl_c_is_answered(place):
    connection = place.own()
    connection.fault(mode="hang", times=1)
    place.make_due(connection)
    terminal = Terminal(place, *connection.only)
    connection.wait_for_hang()
    terminal.process.send_signal(signal.SIGINT)
    terminal.read(until="once more ends at once")
    place.sim.control("faults", method="DELETE")
    code = terminal.end()
    assert code == 0 and "cut short" not in terminal.text, "what was due was done"


# --- what else a run does


def test_flows_that_nobody_ended(place):
    connection = place.own()
    for _ in range(5):
        connection.begin()
    ids = [row[0] for row in place.sql("""select a.id from vestal.authorization_attempt a join vestal.connection c
        on c.id = a.connection_id where c.client_id = %s and a.outcome is null order by a.id""", connection.id)]
    assert len(ids) == 5
    unused, fresh, lost, busy, old = ids
    change = "update vestal.authorization_attempt set expires_at = now() - interval '%s', outcome = %s, ended_at = %s where id = %s"
    ago = lambda words: place.sql(f"select now() - interval '{words}'")[0][0]  # noqa: E731
    place.sql(change.replace("%s", "61 minutes", 1), None, None, unused)
    place.sql(change.replace("%s", "59 minutes", 1), None, None, fresh)
    place.sql(change.replace("%s", "1 minute", 1), "begun", ago("11 minutes"), lost)
    place.sql(change.replace("%s", "1 minute", 1), "begun", ago("9 minutes"), busy)
    place.sql(change.replace("%s", "91 days", 1), "granted", ago("91 days"), old)
    for _ in range(2):  # the second finds nothing to do
        place.refresh(*connection.only)
        now = dict(place.sql("select id, outcome from vestal.authorization_attempt where id = any (%s)", ids))
        assert now == {unused: "expired", fresh: None, lost: "lost", busy: "begun"}
        (event,) = connection.events("authorize.failed")
        assert (event["reason"], event["outcome"], event["actor"], event["actor_auth"]) == ("lost", "error", "system:refresh", "cron")
        assert event["provider"] == "zoho_crm" and event["run_id"] and event["request_id"] == f"run-{event['run_id']}"


def test_partitions_are_made_ahead(place):
    ((name,),) = place.sql("""select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'vestal.audit_event'::regclass and c.relname ~ '[0-9]{6}$' order by 1 desc limit 1""")
    place.sql(f"drop table vestal.{name}")
    place.refresh("--provider", "sim_quick", expect=None)
    ((there,),) = place.sql("select to_regclass(%s) is not null", f"vestal.{name}")
    assert there


@needs_root
def test_called_by_root_it_is_the_owner(place):
    connection = place.connect("sim_quick")
    place.make_due(connection)
    run = place.start(*connection.only)
    assert run.wait().code == 0
    connection.whole(generation=2)
    for folder in (place.state, place.runtime):
        for path in (folder, *folder.rglob("*")):
            info = path.lstat()
            assert info.st_uid == place.owner[0], path
            assert not stat.S_IMODE(info.st_mode) & stat.S_IRWXO or stat.S_ISDIR(info.st_mode), path
    foreign = call(place, "--dry-run", state_dir="/nowhere")
    assert foreign.returncode == 1 and "state_dir" in foreign.stderr, foreign


# --- what is installed


def test_what_is_installed_names_real_places(place):
    """A word that configure should have replaced made units that nothing could start."""
    found = {path.name: path for path in (place.stack.data / "inst").rglob("*")
             if path.suffix in (".service", ".timer", ".socket") or path.parent.name == "cron.d"}  # fmt: skip
    assert {"vestal-refresh.service", "vestal-refresh.timer", "vestal-check.service", "vestal-check.timer", "vestal-audit.service", "vestal-audit.timer", "vestal"} <= set(found) and len(found) >= 13, found
    for path in found.values():
        text = path.read_text()
        assert not re.search(r"@\w+@", text), path
        for program in re.findall(r"(?:ExecStart=|\|\| |; )(/\S+)", text):
            assert (place.stack.data / "inst" / program[1:]).exists(), program


def test_the_line_of_cron_is_quiet(place):
    """Without systemd it runs what is due and says nothing, also when a person is needed; only a failed run speaks."""
    (path,) = (place.stack.data / "inst").rglob("cron.d/vestal")
    lines = path.read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    (line,) = [line for line in lines if line.startswith("*/5 ")]
    assert line.split()[:6] == ["*/5", "*", "*", "*", "*", "vestal"]
    command = line.split("vestal ", 1)[1].replace("/run/systemd/system", "/nowhere")
    installed = re.findall(r"\S+/vestal-refresh", command)[0]
    command = command.replace(installed, f"{place.stack.env['VESTAL_BIN']}/vestal-refresh")
    dead = place.connect("sim_quick")
    place.sql("update vestal.connection set state = 'invalid', cause = 'user_revoked' where client_id = %s", dead.id)

    def run(**more):
        return subprocess.run(["sh", "-c", command], env=place.environment(**more) | settings, capture_output=True, text=True, timeout=60)

    done, before = run(), len(runs(place))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", ""), done
    done = run(database="host=/nowhere dbname=vestal")
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
    command = line.split("vestal ", 1)[1].replace("/run/systemd/system", "/")
    assert run().returncode == 0 and len(runs(place)) == before, "under systemd the timer does it"
    place.sql("update vestal.connection set state = 'live', cause = 'none' where client_id = %s", dead.id)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_the_units(place, tmp_path):
    inst = place.stack.data / "inst"
    (folder,) = inst.rglob("lib/systemd/system")
    for unit in folder.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace("ExecStart=", f"ExecStart={inst}"))
    for name in ("vestal-refresh.service", "vestal-refresh.timer", "vestal-check.service", "vestal-check.timer", "vestal-audit.service", "vestal-audit.timer"):
        done = subprocess.run(["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"})  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done


# --- vestalctl


def test_doctor_looks_for_runs(place):
    def renewal():
        told = json.loads(place.stack.ctl("doctor", "--json", check=False).stdout)
        (one,) = [check for check in told["checks"] if check["check"] == "renewal"]
        assert told["ok"] is False or one["result"] != "fail"
        return one["result"], one["detail"]

    place.refresh("--provider", "sim_quick", expect=None)
    assert renewal()[0] == "ok"
    place.sql("update vestal.refresh_run set exit_code = 1 where id = (select max(id) from vestal.refresh_run)")
    assert renewal()[0] == "warn"
    place.sql("update vestal.refresh_run set exit_code = 0, started_at = started_at - interval '890 seconds'")
    assert renewal()[0] == "ok"
    place.sql("update vestal.refresh_run set started_at = started_at - interval '20 seconds'")
    assert renewal()[0] == "fail" and "refresh_period_s is 300" in renewal()[1]
    place.sql("delete from vestal.refresh_run")
    assert renewal() == ("fail", "no run is recorded; let vestal-refresh.timer or cron start vestal-refresh")
    place.refresh("--provider", "sim_quick", expect=None)
    assert renewal()[0] == "ok"


def test_doctor_tells_of_a_spool_that_nobody_holds(place):
    connection = place.own()
    connection.fault(mode="hang", act=True, times=1)
    place.make_due(connection)
    run = place.start(*connection.only)
    connection.wait_for_hang()
    run.kill()
    place.sim.control("faults", method="DELETE")
    text = place.stack.ctl("doctor", check=False).stdout
    assert re.search(r"^warn +spool +1 of \d+ files are of processes that are gone", text, re.M), text
    place.refresh(*connection.only, expect=None)
    text = place.stack.ctl("doctor", check=False).stdout
    assert re.search(r"^ok +spool +\d+ files in use$", text, re.M), text


def test_token_show(place):
    connection = place.own()
    place.make_due(connection)
    place.refresh(*connection.only)
    told = json.loads(place.stack.ctl("token", "show", connection.id, "zoho_crm", "--json").stdout)
    assert (told["clientId"], told["provider"], told["status"], told["cause"]) == (connection.id, "zoho_crm", "healthy", "none")
    assert told["generation"] == told["lastGeneration"] == 2
    assert told["stores"] == {"database": 2, "file": 2, "environment": 2}
    assert told["lease"] is None and told["deferredBy"] is None and told["lastError"] is None and told["failures"] == 0
    assert re.fullmatch("[0-9a-f]{40}", told["accessFingerprint"]) and re.fullmatch("[0-9a-f]{40}", told["refreshFingerprint"])
    (event,) = connection.events("token.renewed")
    assert event["fingerprint"] == told["accessFingerprint"]
    report = connection.health()
    assert {name: told[name] for name in ("expiresAt", "nextRefreshAt", "lastRefreshedAt")} == {
        name: report[name] for name in ("expiresAt", "nextRefreshAt", "lastRefreshedAt")}  # fmt: skip
    text = place.stack.ctl("token", "show", connection.id, "zoho_crm").stdout
    assert re.search(r"^STATUS +healthy$", text, re.M) and re.search(r"^IN COPY +2$", text, re.M)
    assert re.search(rf"^ACCESS FINGERPRINT +{told['accessFingerprint']}$", text, re.M)
    for secret in connection.issued() + connection.issued("refresh"):
        assert secret not in text and secret not in json.dumps(told)


def test_token_show_while_it_is_renewed(place):
    connection = place.own()
    connection.fault(mode="hang", times=1)
    place.make_due(connection)
    run = place.start(*connection.only)
    connection.wait_for_hang()
    told = json.loads(place.stack.ctl("token", "show", connection.id, "zoho_crm", "--json").stdout)
    assert told["lease"]["owner"] in place.spooled() and told["lease"]["until"] and told["lastTriedAt"]
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0


def test_token_show_of_nothing(place):
    name = f"n-{secrets.token_hex(4)}"
    done = place.stack.ctl("token", "show", name, "zoho_crm", check=False)
    assert done.returncode == 1 and f"client {name} is not connected to zoho_crm" in done.stderr
    place.stack.ctl("client", "add", name)
    place.stack.ctl("connect", name, "zoho_crm")
    told = json.loads(place.stack.ctl("token", "show", name, "zoho_crm", "--json").stdout)
    assert told["status"] == "missing" and told["generation"] is None and told["accessFingerprint"] is None
    assert place.stack.ctl("token", "show", name, check=False).returncode == 64
    assert place.stack.ctl("token", "show", "a/b", "zoho_crm", check=False).returncode == 64
