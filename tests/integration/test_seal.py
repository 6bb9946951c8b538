"""The audit trail's proof: what `vestalctl audit seal` makes, an outsider can check, and `audit verify` finds whatever a
database administrator does to it. Each test has a database, a key and a state folder of its own."""

import base64
import csv
import hashlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg2
import pytest
from harness import LONG, eventually
from rows import Rows

WRITE = "insert into vestal.audit_event (program, actor, actor_auth, action, outcome, reason) values ('test', 'somebody', 'none', 'test.done', 'ok', %s)"
COLUMNS = """id at xid db_user salt schema_version host program request_id run_id actor actor_auth address user_agent action
    outcome object_type object_id client_id provider connection_id incident_id generation key_id fingerprint reason severity
    clock_ok detail_text""".split()
TEXT = {"at": "(extract(epoch from at) * 1000000)::int8::text", "salt": "encode(salt, 'hex')"}


class Trail(Rows):
    def __init__(self, stack, folder):
        super().__init__(stack)
        self.folder, self.checkpoints = folder, folder / "state/checkpoints"
        (folder / "state").mkdir()
        self.environment |= {"VESTAL_STATE_DIR": str(folder / "state"), "VESTAL_KEY_DIR": str(folder / "keys")}
        self.audit("key", "add", "audit", family=False)

    def audit(self, *words, code=0, family=True, **settings):
        """The program's answer: of --json the document, else the process."""
        program = [f"{self.stack.env['VESTAL_BIN']}/vestalctl", *(["audit"] if family else []), *map(str, words)]
        environment = self.environment | {f"VESTAL_{name.upper()}": str(value) for name, value in settings.items()}
        done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done
        return json.loads(done.stdout) if "--json" in words else done

    def write(self, n=1, word="x"):
        with closing(self.connect("vestal_worker")) as connection, connection.cursor() as cursor:
            for _ in range(n):
                cursor.execute(WRITE, (word,))
        return [id for (id,) in self.sql("select id from vestal.audit_event order by id desc limit %s", n)][::-1]

    def connect(self, user, autocommit=True):
        connection = psycopg2.connect(
            host=self.stack.env["PGHOST"], port=self.stack.env["PGPORT"], dbname=self.name, user=user
        )
        connection.autocommit = autocommit
        return connection

    def seal(self):
        return self.audit("seal", "--json")

    def verify(self, *words, code=0, **settings):
        return self.audit("verify", "--json", *words, code=code, **settings)

    def found(self, *words, **settings):
        """What verify finds, as (what, leaf or None, event or None)."""
        answer = self.verify(*words, code=2, **settings)
        assert not answer["ok"] and answer["faults"] == len(answer["findings"]) > 0
        return [(finding["what"], finding.get("leaf"), finding.get("event")) for finding in answer["findings"]]

    @contextmanager
    def tampering(self):
        """As a superuser who puts the triggers back when he is done."""
        triggers = self.sql(
            "select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal and tgfoid = 'vestal.audit_refuse()'::regprocedure"
        )
        for table, name in triggers:
            self.sql(f"alter table {table} disable trigger {name}")
        yield
        for table, name in triggers:
            self.sql(f"alter table {table} enable always trigger {name}")

    def tamper(self, *statements):
        with self.tampering():
            for statement in statements:
                self.sql(statement)

    def leaf_of(self, event):
        return self.sql("select leaf_index from vestal.audit_leaf where event_id = %s", event)[0][0]

    def notes(self):
        """The files' notes: (lines, signed text, signature line)."""
        notes = []
        for path in sorted(self.checkpoints.iterdir()):
            words = path.read_text().split("\n\n\u2014 ")
            for before, after in zip(words, words[1:]):
                text = before if before == words[0] else before.split("\n", 1)[1]
                notes.append((text.split("\n"), text + "\n", after.split("\n")[0]))
        return notes


@pytest.fixture
def trail(stack, tmp_path):
    made = Trail(stack, tmp_path)
    yield made
    made.close()
    made.admin.close()
    stack.sql(f"drop database {made.name} with (force)")


# --- what is sealed, checked by others' means


def leaf(row):
    data = b"\0vestal-audit-event-1\0"
    for value in row:
        data += b"\0" if value is None else b"\1" + len(value.encode()).to_bytes(4, "big") + value.encode()
    return hashlib.sha256(data).digest()


def root(leaves):
    """RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def test_an_outsider_can_prove_it(trail, tmp_path):
    for n in (3, 1, 9):
        trail.write(n, word='quotes " and \u00fc\n')
        trail.seal()
    columns = ", ".join(TEXT.get(name, f"{name}::text") for name in COLUMNS)
    rows = trail.sql(f"select {columns} from vestal.audit_event order by xid, id")
    mine = [leaf(row) for row in rows]
    held = trail.sql("select leaf_index, event_id, hash from vestal.audit_leaf order by leaf_index")
    assert [(index, bytes(hash)) for index, _, hash in held] == list(enumerate(mine))
    assert [event for _, event, _ in held] == [int(row[0]) for row in rows]
    stored = trail.sql("select number, size, note from vestal.audit_checkpoint order by number")
    notes = trail.notes()
    assert len(notes) == len(stored) >= 3
    for (number, size, note), (lines, text, signature) in zip(stored, notes):
        assert lines[0].startswith("vestal/audit/") and lines[1] == str(size) and lines[3] == f"number {number}"
        assert base64.b64decode(lines[2]) == root(mine[:size])
        name, value = signature.split(" ")
        value = base64.b64decode(value)
        pem = (tmp_path / "keys/audit.pub").read_text()
        public = base64.b64decode(pem.split("\n")[1])[12:]
        assert note == f"{text}\n\u2014 {signature}\n" and name == lines[0]
        assert value[:4] == hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]
        (tmp_path / "text").write_text(text)
        (tmp_path / "signature").write_bytes(value[4:])
        subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "keys/audit.pub", "-rawin", "-in", tmp_path / "text",
             "-sigfile", tmp_path / "signature"], check=True, capture_output=True)  # fmt: skip
    answer = trail.verify()
    assert answer["ok"] and answer["size"] == len(mine) and answer["checkpoints"] == len(stored)
    assert (answer["unsealed"], answer["findings"], answer["warnings"]) == (0, [], [])


def test_sealing_tells_of_itself_once_and_comes_to_rest(trail):
    trail.write(5)
    first = trail.seal()
    assert first["events"] == first["size"] == trail.sql("select count(*) from vestal.audit_event")[0][0] == 7
    assert trail.sql("select count(*) from vestal.audit_event where action = 'audit.sealed'") == [(1,)]
    before = trail.sql("select count(*), (select count(*) from vestal.audit_checkpoint) from vestal.audit_event")
    assert trail.seal() == {"events": 0, "size": 7, "checkpoint": 2, "waiting": 0, "busy": False}
    assert trail.sql("select count(*), (select count(*) from vestal.audit_checkpoint) from vestal.audit_event") == before
    event = trail.sql("select actor, outcome, object_type, object_id, detail, db_user from vestal.audit_event where action = 'audit.sealed'")
    assert event[0][1:] == ("ok", "checkpoint", "1", {"size": 6, "events": 6}, "vestal_sealer")


def test_nothing_is_sealed_that_something_could_come_before(trail):
    with closing(trail.connect("vestal_worker", autocommit=False)) as slow, slow.cursor() as cursor:
        cursor.execute(WRITE, ("slow",))
        trail.write(word="quick")
        trail.seal()
        words = "select e.reason from vestal.audit_leaf l join vestal.audit_event e on e.id = l.event_id order by leaf_index"
        assert "quick" not in [word for (word,) in trail.sql(words)]
        slow.commit()
    trail.seal()
    sealed = [word for (word,) in trail.sql(words) if word]
    assert sealed == ["slow", "quick"] and trail.verify()["unsealed"] == 0


def test_a_batch_is_only_a_part(trail):
    """More than one commit's worth, from a single transaction and from many."""
    trail.sql(
        "insert into vestal.audit_event (program, actor, actor_auth, action, outcome, reason)"
        " select 'test', 'a', 'none', 'test.done', 'ok', i::text from generate_series(1, 21000) i")  # fmt: skip
    trail.write(3)
    assert trail.seal()["size"] == 21000 + 3 + 2
    assert trail.sql("select count(*) from vestal.audit_checkpoint")[0][0] == 4
    assert trail.verify()["events"] == 21005


def test_a_run_that_ends_with_a_full_batch_is_told_too(trail):
    ((there,),) = trail.sql("select count(*) from vestal.audit_event")
    trail.sql(
        "insert into vestal.audit_event (program, actor, actor_auth, action, outcome)"
        " select 'test', 'a', 'none', 'test.done', 'ok' from generate_series(1, %s) i", 10000 - there)  # fmt: skip
    assert trail.seal()["size"] == 10001
    assert trail.sql("select object_id, detail from vestal.audit_event where action = 'audit.sealed'") == [("1", {"size": 10000, "events": 10000})]
    assert trail.verify()["unsealed"] == 0


def test_a_database_that_moved_to_another_cluster(trail):
    """Its checkpoint's horizon is ahead of every transaction there; events of before and after have leaves soon."""
    trail.write(3)
    trail.seal()
    words = "program, actor, actor_auth, action, outcome"
    trail.sql(
        f"insert into vestal.audit_event (xid, {words}) select (900000000 + i)::text::xid8, 't', 'a', 'n', 'test.done', 'ok'"
        " from generate_series(1, 12000) i")  # fmt: skip
    trail.tamper("update vestal.audit_checkpoint set horizon = '900000001' where number = (select max(number) from vestal.audit_checkpoint)")
    trail.write(3)
    assert trail.verify()["unsealed"] == 12003
    trail.seal()
    trail.write(3)
    trail.seal()
    answer = trail.verify()
    assert answer["ok"] and answer["unsealed"] == 0 and answer["size"] == trail.sql("select count(*) from vestal.audit_event")[0][0]


def test_the_cost_is_that_of_what_is_new(trail):
    trail.sql(
        "insert into vestal.audit_event (program, actor, actor_auth, action, outcome)"
        " select 'test', 'a', 'none', 'test.done', 'ok' from generate_series(1, 20000) i")  # fmt: skip
    trail.seal()
    trail.write(3)
    horizon, now = trail.sql(
        "select horizon::text, pg_snapshot_xmin(pg_current_snapshot())::text from vestal.audit_checkpoint order by number desc limit 1")[0]  # fmt: skip
    plan = trail.session("sealer").plan("seal/pending", horizon, now, now, 10000)
    seen = [node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0) for node in plan]
    assert max(seen) < 100, plan


def test_sealing_blocks_no_writer(trail):
    """While a sealer holds everything that it ever locks, events come in."""
    trail.write()
    with closing(trail.connect("vestal_sealer", autocommit=False)) as sealer, sealer.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('vestal.audit_seal'))")
        cursor.execute("select count(*) from vestal.audit_event")
        cursor.execute(
            "insert into vestal.audit_leaf select 0, id, at, sha256('') from vestal.audit_event order by id limit 1")  # fmt: skip
        cursor.execute("select distinct mode from pg_locks where relation::regclass::text like 'vestal.audit_event%'")
        assert cursor.fetchall() == [("AccessShareLock",)]
        trail.write()
        assert trail.seal()["busy"], "a second one goes home"
        sealer.rollback()
    assert not trail.seal()["busy"] and trail.verify()["ok"]


def test_many_writers_with_rollbacks_and_kills(trail):
    rounds = 400 if LONG else 60
    committed, lock, over = [], threading.Lock(), threading.Event()

    def writer(number):
        chance = random.Random(number)
        connection = trail.connect("vestal_worker", autocommit=False)
        for i in range(rounds):
            word = f"{number}-{i}"
            fate = chance.random()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(WRITE, (word,))
                    if fate < 0.1:
                        connection.rollback()
                        continue
                    if fate < 0.12:
                        trail.stack.sql("select pg_terminate_backend(%s)", connection.info.backend_pid)
                    cursor.execute(WRITE, (word,))
                connection.commit()
                with lock:
                    committed.extend([word, word])
            except psycopg2.OperationalError:
                connection = trail.connect("vestal_worker", autocommit=False)
        connection.close()

    def sealer():
        while not over.is_set():
            trail.seal()

    writers = [threading.Thread(target=writer, args=(i,)) for i in range(16)]
    sealers = [threading.Thread(target=sealer) for _ in range(2)]
    for thread in writers + sealers:
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    for thread in sealers:
        thread.join()
    trail.seal()
    sealed = trail.sql("select e.reason from vestal.audit_leaf l join vestal.audit_event e on e.id = l.event_id and e.at = l.at")
    assert sorted(word for (word,) in sealed if word) == sorted(committed) and len(committed) > rounds * 16
    n, last, events = trail.sql("select count(*), max(leaf_index) + 1, count(distinct event_id) from vestal.audit_leaf")[0]
    assert n == last == events == trail.sql("select count(*) from vestal.audit_event")[0][0]
    assert trail.verify()["ok"]


def test_a_killed_sealer_leaves_nothing_half(trail):
    program = [f"{trail.stack.env['VESTAL_BIN']}/vestalctl", "audit", "seal"]
    for i in range(60 if LONG else 20):
        trail.write(3)
        process = subprocess.Popen(program, env=trail.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=random.uniform(0.005, 0.06))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        else:
            assert process.returncode == 0
    eventually(lambda: not trail.seal()["busy"])  # a killed client's last statement may still run
    trail.seal()
    answer = trail.verify()
    assert answer["ok"] and answer["unsealed"] == 0 and not answer["warnings"]


def test_checkpoints_that_did_not_reach_the_files_do_so_later(trail):
    trail.write()
    trail.seal()
    path = next(trail.checkpoints.iterdir())
    short = path.read_bytes()
    trail.write()
    trail.seal()
    whole = path.read_bytes()
    path.write_bytes(short)
    answer = trail.verify()
    assert [warning["what"] for warning in answer["warnings"]] == ["files_missing"] and answer["ok"]
    trail.seal()
    assert path.read_bytes() == whole and trail.verify()["warnings"] == []


# --- what verify finds


@pytest.fixture
def sealed(trail):
    """Events in two checkpoints of several."""
    trail.events = []
    for _ in range(2):
        trail.events += trail.write(5)
        trail.seal()
    return trail


def test_each_column_of_a_changed_event(sealed):
    event = sealed.events[2]
    other = {
        "id": "id + 1000000", "at": "at + interval '1 microsecond'", "xid": "'3'", "db_user": "'vestal_operator'", "salt": "'\\x00'",
        "schema_version": "2", "action": "'test.other'", "outcome": "'denied'", "severity": "'notice'", "clock_ok": "true",
        "detail_text": "'{ }'", "connection_id": "7", "incident_id": "7", "generation": "7", "actor": "actor || ' '",
        "program": "''", "host": "''", "reason": "null",
    }  # fmt: skip
    index = sealed.leaf_of(event)
    for column in COLUMNS:
        sealed.sql("create temporary table kept as select * from vestal.audit_event where id = %s", event)
        if column == "id":
            sealed.sql("alter table vestal.audit_event alter id drop identity")
        sealed.tamper(f"update vestal.audit_event set {column} = {other.get(column, chr(39) + 'x' + chr(39))} where id = {event}")
        found = sealed.found()
        wanted = [("deleted", index, event), ("inserted", None, event + 1000000 if column == "id" else event)]
        assert found == (wanted if column in ("id", "at") else [("changed", index, event)]), column
        words = ", ".join(COLUMNS)
        sealed.tamper(
            f"delete from vestal.audit_event where id in ({event}, {event + 1000000})",
            f"insert into vestal.audit_event ({words}) overriding system value select {words} from kept", "drop table kept")  # fmt: skip
        if column == "id":
            sealed.sql("alter table vestal.audit_event alter id add generated always as identity")
        assert sealed.verify()["ok"], column


def test_deleted_events(sealed):
    for event in (sealed.events[0], sealed.events[4], sealed.events[-1]):
        sealed.sql("create temporary table kept as select * from vestal.audit_event where id = %s", event)
        sealed.tamper(f"delete from vestal.audit_event where id = {event}")
        assert sealed.found() == [("deleted", sealed.leaf_of(event), event)]
        words = ", ".join(COLUMNS)
        sealed.tamper(f"insert into vestal.audit_event ({words}) overriding system value select {words} from kept", "drop table kept")
    assert sealed.verify()["ok"]


def test_a_truncated_partition(sealed):
    (partition,) = sealed.sql("select tableoid::regclass::text from vestal.audit_event limit 1")[0]
    sealed.tamper(f"truncate {partition}")
    found = sealed.found()
    assert {what for what, _, _ in found} == {"deleted"} and len(found) == sealed.verify(code=2)["size"]


def test_inserted_events(sealed):
    words = "program, actor, actor_auth, action, outcome"
    sealed.sql(f"insert into vestal.audit_event (xid, {words}) values ('3', 't', 'a', 'n', 'test.done', 'ok')")
    (event,) = sealed.sql("select max(id) from vestal.audit_event")[0]
    assert sealed.found() == [("inserted", None, event)]
    size = sealed.verify(code=2)["size"]
    sealed.sql("insert into vestal.audit_leaf select %s, id, at, sha256('') from vestal.audit_event where id = %s", size, event)
    assert ("leaf_added", size, None) in sealed.found() and ("changed", size, event) in sealed.found()


def test_swapped_events_and_leaves(sealed):
    a, b = sealed.events[1:3]
    names = [name for name in COLUMNS if name not in ("id", "at")]
    swap = ", ".join(f"{name} = o.{name}" for name in names)
    swapped = f"update vestal.audit_event e set {swap} from vestal.audit_event o where e.id + o.id = {a + b} and e.id in ({a}, {b})"
    sealed.tamper(swapped)
    assert sealed.found() == [("changed", sealed.leaf_of(a), a), ("changed", sealed.leaf_of(b), b)]
    sealed.tamper(swapped)
    assert sealed.verify()["ok"]
    i, j = sealed.leaf_of(a), sealed.leaf_of(b)
    sealed.tamper(
        "alter table vestal.audit_leaf drop constraint audit_leaf_pkey",
        f"update vestal.audit_leaf set leaf_index = {i + j} - leaf_index where leaf_index in ({i}, {j})",
        "alter table vestal.audit_leaf add primary key (leaf_index)")  # fmt: skip
    found = sealed.found()
    assert ("swapped", j, a) in found and any(what == "leaves_changed" for what, _, _ in found)


def test_rewritten_leaves(sealed):
    """Event and leaf agree with each other, and with no signature."""
    event = sealed.events[6]
    columns = ", ".join(TEXT.get(name, f"{name}::text") for name in COLUMNS)
    sealed.tamper(f"update vestal.audit_event set reason = 'another' where id = {event}")
    forged = leaf(sealed.sql(f"select {columns} from vestal.audit_event where id = {event}")[0])
    sealed.tamper(f"update vestal.audit_leaf set hash = '\\x{forged.hex()}' where event_id = {event}")
    ((what, index, _),) = sealed.found()
    assert what == "leaves_changed" and index == sealed.sql("select size from vestal.audit_checkpoint where number = 2")[0][0]
    assert sealed.audit("seal", code=0).returncode == 0, "what is new has its leaf all the same"


def test_leaves_and_checkpoints_that_are_gone(sealed):
    last = sealed.verify()["size"] - 1
    sealed.tamper(f"delete from vestal.audit_leaf where leaf_index = {last}")
    assert sealed.found()[0] == ("leaf_missing", last, None)
    sealed.tamper("delete from vestal.audit_leaf where leaf_index = 3")
    assert ("leaf_missing", 3, None) in sealed.found()
    sealed.tamper("delete from vestal.audit_checkpoint where number = 2")
    assert ("checkpoint", None, None) in sealed.found()


def test_a_checkpoint_that_nobody_signed(sealed):
    for change in ("size = size + 1", "root = sha256('')", "note = replace(note, 'number', 'numbes')", "origin = 'vestal/audit/x'"):
        sealed.sql("create temporary table kept as select * from vestal.audit_checkpoint where number = 2")
        sealed.tamper(f"update vestal.audit_checkpoint set {change} where number = 2")
        assert {what for what, _, _ in sealed.found()} & {"checkpoint", "signature"}, change
        sealed.tamper(
            "update vestal.audit_checkpoint c set size = k.size, root = k.root, note = k.note, origin = k.origin from kept k where c.number = 2",
            "drop table kept")  # fmt: skip
        assert sealed.verify()["ok"]
    sealed.tamper("update vestal.audit_checkpoint set frontier = sha256('') where number = (select max(number) from vestal.audit_checkpoint)")
    sealed.write()
    assert "not what was signed" in sealed.audit("seal", code=1).stderr


def test_another_key_proves_nothing(sealed, tmp_path):
    pem = tmp_path / "other.pub"
    private = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True).stdout
    pem.write_bytes(subprocess.run(["openssl", "pkey", "-pubout"], input=private, check=True, capture_output=True).stdout)
    assert "signature" in {what for what, _, _ in sealed.found("--public-key", pem)}
    assert sealed.verify("--public-key", tmp_path / "keys/audit.pub")["ok"]
    pem.write_text("nothing")
    sealed.audit("verify", "--public-key", pem, code=1)


# --- a database that was turned back


def turn_back(trail, number):
    """As a restored backup has it: consistent in itself."""
    (size,) = trail.sql("select size from vestal.audit_checkpoint where number = %s", number)[0]
    trail.tamper(
        f"delete from vestal.audit_event e using vestal.audit_leaf l where l.event_id = e.id and l.leaf_index >= {size}",
        f"delete from vestal.audit_leaf where leaf_index >= {size}",
        f"delete from vestal.audit_checkpoint where number > {number}")  # fmt: skip
    return size


def test_a_database_turned_back(sealed, tmp_path):
    witness = tmp_path / "witness"
    witness.write_bytes(b"".join(path.read_bytes() for path in sealed.checkpoints.iterdir()))
    assert sealed.verify("--witness", witness)["ok"]
    size = turn_back(sealed, 2)
    assert sealed.found() == [("rolled_back", size, None)]
    before = sealed.sql("select count(*) from vestal.audit_checkpoint")
    sealed.write()
    assert "older than checkpoints/" in sealed.audit("seal", code=1).stderr
    assert sealed.sql("select count(*) from vestal.audit_checkpoint") == before
    shutil.rmtree(sealed.checkpoints)
    assert [warning["what"] for warning in sealed.verify()["warnings"]] == ["files_missing"], "nobody else remembers"
    assert sealed.found("--witness", witness) == [("rolled_back", size, None)]
    sealed.write(9)
    sealed.seal()
    sealed.write(9)
    sealed.seal()
    assert sealed.verify()["ok"]
    assert {what for what, _, _ in sealed.found("--witness", witness)} == {"fork"}


def test_an_emptied_database(sealed):
    sealed.tamper("truncate vestal.audit_event, vestal.audit_leaf, vestal.audit_checkpoint")
    assert sealed.found() == [("rolled_back", 0, None)]
    sealed.write()
    sealed.audit("seal", code=1)


def test_a_witness_that_is_none(sealed, tmp_path):
    witness = tmp_path / "witness"
    text = next(sealed.checkpoints.iterdir()).read_text()
    witness.write_text(text.replace("\nnumber ", "\nnumber 1", 1).split("\u2014")[0])
    assert sealed.found("--witness", witness) == [("file", None, None)]
    witness.write_text(text.replace("at 20", "at 19"))
    assert sealed.found("--witness", witness) == [("file", None, None)]
    sealed.audit("verify", "--witness", tmp_path / "nowhere", code=1)


def test_a_spoiled_checkpoint_file(sealed):
    path = next(sealed.checkpoints.iterdir())
    text = path.read_bytes()
    path.write_bytes(text[:-20])
    assert {what for what, _, _ in sealed.found()} == {"file"}
    sealed.write()
    assert "whole checkpoint" in sealed.audit("seal", code=1).stderr
    path.write_bytes(text.replace(b"at 20", b"at 19", 1))
    assert {what for what, _, _ in sealed.found()} == {"file"}


# --- what stands around it

DRIFT = {
    "off": ("alter table {partition} disable trigger audit_event_keep", "alter table {partition} enable always trigger audit_event_keep"),
    "in replicas off": ("alter table vestal.audit_event enable trigger audit_event_keep_all", "alter table vestal.audit_event enable always trigger audit_event_keep_all"),
    "gone": (
        "drop trigger audit_event_keep_all on {partition}",
        "create trigger audit_event_keep_all before truncate on {partition} for each statement execute function vestal.audit_refuse();"
        " alter table {partition} enable always trigger audit_event_keep_all"),
    "leaf": ("alter table vestal.audit_leaf disable trigger audit_leaf_keep", "alter table vestal.audit_leaf enable always trigger audit_leaf_keep"),
    "more": (
        "create trigger x before insert on {partition} for each row execute function vestal.audit_refuse()", "drop trigger x on {partition}"),
    "rule": ("create rule x as on insert to vestal.audit_leaf do instead nothing", "drop rule x on vestal.audit_leaf"),
    "update": ("grant update (reason) on vestal.audit_event to vestal_worker", "revoke update (reason) on vestal.audit_event from vestal_worker"),
    "partition": ("grant delete on {partition} to vestal_refresher", "revoke delete on {partition} from vestal_refresher"),
    "proof": ("grant insert on vestal.audit_leaf to vestal_worker", "revoke insert on vestal.audit_leaf from vestal_worker"),
    "everybody": ("grant select on vestal.audit_event to public", "revoke select on vestal.audit_event from public"),
    "salt": ("grant insert (salt) on vestal.audit_event to vestal_worker", "revoke insert (salt) on vestal.audit_event from vestal_worker"),
    "row security": ("alter table vestal.audit_event enable row level security", "alter table vestal.audit_event disable row level security"),
    "owner": ("alter table {partition} owner to vestal_worker", "alter table {partition} owner to vestal_owner"),
    "default": ("alter table vestal.audit_event alter db_user set default 'x'", "alter table vestal.audit_event alter db_user set default session_user"),
}  # fmt: skip


def test_changed_grants_and_triggers(sealed):
    (partition,) = sealed.sql("select tableoid::regclass::text from vestal.audit_event limit 1")[0]
    for name, (change, back) in DRIFT.items():
        sealed.sql(change.format(partition=partition))
        found = {what for what, _, _ in sealed.found()}
        assert found == {"grants"} or (name == "row security" and found == {"grants", "deleted"}), name
        sealed.sql(back.format(partition=partition))
        assert sealed.verify()["ok"], name


def test_a_function_that_does_something_else(sealed):
    (text,) = sealed.sql("select pg_get_functiondef('vestal.audit_refuse()'::regprocedure)")[0]
    sealed.sql(text.replace("raise exception", "raise notice"))
    assert [what for what, _, _ in sealed.found()] == ["grants"]
    sealed.sql(text)
    assert sealed.verify()["ok"]


def test_a_token_that_disagrees_with_its_last_event(sealed):
    one, two, gone, unknown = sealed.add(4)
    tell = (
        "insert into vestal.audit_event (program, actor, actor_auth, action, outcome, connection_id, generation, fingerprint)"
        " values ('test', 'a', 'none', %s, 'ok', %s, %s, %s)"
    )
    for id in (one, two, gone):
        sealed.sql(tell, "authorize.completed", id, 4, "fp-4")
        sealed.sql(tell, "token.renewed", id, 5, "fp-5")
    sealed.seal()
    answer = sealed.verify()
    assert [warning["what"] for warning in answer["warnings"]] == ["token_unknown"]
    sealed.set("token", one, generation="4", access_fingerprint="'fp-4'")
    sealed.set("token", two, access_fingerprint="'fp-other'")
    sealed.sql(tell, "reauthorize.requested", gone, 5, "fp-5")
    sealed.seal()
    findings = sealed.verify(code=2)["findings"]
    assert [finding["what"] for finding in findings] == ["token"] * 3
    assert [finding["detail"].rsplit(" ", 1)[1] for finding in findings] == ["generation", "fingerprint", "removed"]


def test_tokens_of_real_flows_agree_with_their_events(stack, connected):
    """Whatever gave or took the token: authorization, renewal, override, removal, undo."""
    def found():
        stack.ctl("audit", "seal")
        answer = json.loads(stack.ctl("audit", "verify", "--json", check=False).stdout)
        said = [finding for finding in answer["findings"] + answer["warnings"] if connected.id in finding["detail"]]
        return [(finding["what"], finding["detail"].rsplit(" ", 1)[1]) for finding in said]

    def change(path, **body):
        answer = stack.api("POST", path, {"provider": "zoho_crm"} | body)
        assert answer.status == 200, answer

    assert found() == []
    change(f"/api/oauth/refresh/{connected.id}")
    assert found() == []
    kept = stack.sql(
        "select t.connection_id, t.generation, t.access_fingerprint from vestal.token t join vestal.connection c on c.id = t.connection_id"
        " where c.client_id = %s", connected.id)[0]  # fmt: skip
    stack.sql("update vestal.token set generation = 1 where connection_id = %s", kept[0])
    assert found() == [("token", "generation")]
    stack.sql("update vestal.token set generation = %s, access_fingerprint = 'x' where connection_id = %s", kept[1], kept[0])
    assert found() == [("token", "fingerprint")]
    stack.sql("update vestal.token set access_fingerprint = %s where connection_id = %s", kept[2], kept[0])
    assert found() == []
    change(f"/api/oauth/reauthorize/{connected.id}")
    assert found() == []
    change(f"/api/oauth/undo/{connected.id}", reason="not so fast")
    assert found() == []
    assert stack.api("DELETE", f"/api/oauth/token/{connected.id}", provider="zoho_crm").status == 200
    assert found() == []
    connected.connect()
    assert found() == []


def test_events_that_wait_too_long(sealed):
    words = "program, actor, actor_auth, action, outcome"
    sealed.sql(f"insert into vestal.audit_event (at, {words}) values (now() - interval '100 seconds', 't', 'a', 'n', 'test.done', 'ok')")
    assert sealed.verify()["warnings"] == []
    answer = sealed.verify(refresh_period_s=49)
    assert [warning["what"] for warning in answer["warnings"]] == ["unsealed"] and answer["unsealed"] == 1
    assert 100 <= answer["oldestUnsealedSeconds"] < 160
    sealed.seal()
    assert sealed.verify(refresh_period_s=49)["warnings"] == []


def test_doctor_and_the_log_tell_of_it(sealed):
    def doctor():
        program = [f"{sealed.stack.env['VESTAL_BIN']}/vestalctl", "doctor", "--json"]
        environment = sealed.environment | {"VESTAL_REFRESH_PERIOD_S": "1000"}
        told = json.loads(subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60).stdout)
        return [check["result"] for check in told["checks"] if check["check"] == "audit trail"]

    words = "program, actor, actor_auth, action, outcome"
    row = "insert into vestal.audit_event (at, %s) values (now() - interval '%s seconds', 't', 'a', 'n', 'test.done', 'ok')"
    assert doctor() == ["ok"]
    for age, result in ((1900, "ok"), (2100, "warn"), (2900, "warn"), (3100, "fail")):
        sealed.sql(row % (words, age))
        assert doctor() == [result], age
    with closing(sealed.connect("vestal_worker", autocommit=False)) as slow, slow.cursor() as cursor:
        cursor.execute(WRITE, ("slow",))
        sealed.sql(row % (words, 3200))
        log = sealed.audit("seal", refresh_period_s=1000).stderr
        assert '"event":"audit.unsealed"' in log and '"bound_s":3000' in log
        slow.commit()
    log = sealed.audit("seal", refresh_period_s=1000, log_level="info").stderr
    assert "audit.unsealed" not in log and '"event":"audit.checkpoint"' in log and doctor() == ["ok"]


def test_verify_changes_nothing_and_waits_for_nobody(sealed):
    before = sealed.sql("select count(*) from vestal.audit_event")
    with closing(sealed.connect("vestal_worker", autocommit=False)) as writer, writer.cursor() as cursor:
        cursor.execute(WRITE, ("open",))
        assert sealed.verify()["ok"]
        writer.rollback()
    assert sealed.sql("select count(*) from vestal.audit_event") == before


def test_without_a_key_or_a_database(trail, tmp_path):
    os.remove(tmp_path / "keys/audit.pub")
    assert "audit.pub" in trail.audit("verify", code=1).stderr
    trail.audit("verify", code=1, database="host=/nowhere dbname=x")
    os.remove(tmp_path / "keys/audit.ring")
    assert "key add audit" in trail.audit("seal", code=1).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_the_key_has_an_account_of_its_own(trail):
    """Installed: the key's folder and the checkpoint files belong to one account, everything else to another."""
    service, sealer = (pwd.getpwnam(name) for name in ("games", "daemon"))
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        folder.chmod(0o711)
        for name, mode, owner in (("state", 0o711, service), ("keys", 0o700, service), ("audit", 0o711, sealer), ("state/checkpoints", 0o711, sealer)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
            os.chown(folder / name, owner.pw_uid, owner.pw_gid)
        trail.environment |= {f"VESTAL_{name.upper()}_DIR": str(folder / name) for name in ("state",)}
        trail.environment |= {"VESTAL_KEY_DIR": f"{folder}/keys", "VESTAL_AUDIT_KEY_DIR": f"{folder}/audit"}
        for ring in ("audit", "app"):
            trail.audit("key", "add", ring, family=False)
        trail.write()
        trail.seal()
        assert trail.verify()["ok"]
        made = {path.name: path.stat() for path in folder.rglob("*") if path.is_file()}
        (day,) = [name for name in made if name.endswith(".checkpoints")]
        owners = {name: (info.st_uid, info.st_mode & 0o777) for name, info in made.items()}
        assert owners == {
            "app.ring": (service.pw_uid, 0o600), "audit.ring": (sealer.pw_uid, 0o600), "audit.pub": (sealer.pw_uid, 0o644),
            day: (sealer.pw_uid, 0o644),
        }  # fmt: skip
        as_service = {"user": service.pw_uid, "group": service.pw_gid, "extra_groups": []}
        for path in (folder / "audit/audit.ring", folder / "audit"):
            assert subprocess.run(["ls" if path.is_dir() else "cat", path], capture_output=True, **as_service).returncode != 0
        for name in ("audit/audit.ring", "audit/audit.pub", f"state/checkpoints/{day}"):
            assert subprocess.run(["rm", "-f", folder / name], capture_output=True, **as_service).returncode != 0
        text = trail.audit("doctor", code=1, family=False).stdout
        assert re.search(r"^ok +audit.pub +present", text, re.M) and "key ring audit" not in text, text
    finally:
        shutil.rmtree(folder)


# --- exported and pruned

MONTH, FROM = "2025-03", "2025-03-01"


@pytest.fixture
def aged(trail):
    """A month long over, with events in a partition of its own, and this one's; sealed."""
    trail.sql("create table vestal.audit_event_202503 partition of vestal.audit_event for values from ('2025-03-01') to ('2025-04-01')")
    trail.sql("alter table vestal.audit_event_202503 owner to vestal_owner; select vestal.audit_guard('vestal.audit_event_202503')")
    trail.sql(
        "insert into vestal.audit_event (at, program, actor, actor_auth, action, outcome, reason)"
        " select timestamptz '2025-03-05 00:00Z' + i * interval '1 hour', 'test', 'a', 'none', 'test.done', 'ok',"
        " case i when 1 then '=1+1' when 2 then E'quotes \" and\\nlines' end from generate_series(1, 20) i")  # fmt: skip
    trail.write(3)
    trail.seal()
    return trail


def partition_is_there(trail):
    return trail.sql("select to_regclass('vestal.audit_event_202503') is not null")[0][0]


def exported(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_export_proves_itself(aged, tmp_path):
    path, manifest = tmp_path / "march.jsonl", tmp_path / "march.jsonl.manifest"
    answer = aged.audit("export", MONTH, "--out", path, "--json")
    rows = exported(path)
    assert answer == {"file": str(path), "rows": 20, "unsealed": 0, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert len(rows) == 20 and path.stat().st_mode & 0o777 == 0o600
    # Every leaf follows from the export alone.
    names = [re.sub("_(.)", lambda letter: letter[1].upper(), name) for name in COLUMNS]
    for row in rows:
        at = datetime.fromisoformat(row["at"])
        row["at"] = (at - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
        row["clockOk"] = None if row["clockOk"] is None else "ft"[row["clockOk"]]
        hash = leaf([None if row[name] is None else str(row[name]) for name in names])
        ((held,),) = aged.sql("select hash from vestal.audit_leaf where leaf_index = %s", row["leaf"])
        assert bytes(held) == hash
    first, second = re.findall(r"(.*?\n)\n\u2014 \S+ (\S+)\n", manifest.read_text(), re.S)
    for text, signature in (first, second):
        (tmp_path / "text").write_text(text)
        (tmp_path / "signature").write_bytes(base64.b64decode(signature)[4:])
        subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "keys/audit.pub", "-rawin", "-in", tmp_path / "text",
             "-sigfile", tmp_path / "signature"], check=True, capture_output=True)  # fmt: skip
    says = dict(line.split(" ", 1) for line in first[0].splitlines()[1:])
    assert says["file"] == "march.jsonl" and says["rows"] == "20" and says["sha256"] == answer["sha256"]
    assert (says["from"], says["to"]) == ("2025-03-01T00:00:00Z", "2025-04-01T00:00:00Z")
    assert f"number {says['checkpoint']}\n" in second[0]
    assert aged.verify("--witness", manifest)["ok"], "the manifest is a witness, too"
    events = aged.sql("select action, object_type, object_id, detail from vestal.audit_event where action in ('audit.read', 'audit.exported') order by id")
    assert [event[:3] for event in events] == [("audit.read", "month", MONTH), ("audit.exported", "month", MONTH)]
    assert events[1][3]["sha256"] == answer["sha256"] and events[1][3]["rows"] == 20
    assert "File exists" in aged.audit("export", MONTH, "--out", path, code=1).stderr and len(exported(path)) == 20


def test_a_spreadsheet_gets_no_formula(aged, tmp_path):
    path = tmp_path / "march.csv"
    aged.audit("export", "--from", FROM, "--to", "2025-03-05T03:00:00Z", "--csv", "--out", path)
    with path.open(newline="") as file:
        heads, *rows = csv.reader(file)
    reasons = [row[heads.index("reason")] for row in rows]
    assert reasons == ["'=1+1", 'quotes " and\nlines'] and heads[:3] == ["leaf", "id", "at"]


def test_bad_exports(aged, tmp_path):
    path = tmp_path / "x"
    for words in ([], ["2025-13"], ["2025-3"], [MONTH, "--from", FROM], ["--from", FROM], ["--from", "x", "--to", FROM]):
        aged.audit("export", *words, "--out", path, code=64)
        assert path.read_bytes() == b"" and (tmp_path / "x.manifest").read_bytes() == b""
        path.unlink(), (tmp_path / "x.manifest").unlink()
    aged.audit("export", MONTH, code=64)


def test_a_month_is_pruned_and_the_rest_still_proved(aged, tmp_path):
    size = aged.verify()["size"]
    aged.audit("export", MONTH, "--out", tmp_path / "march")
    assert "no sealed export" in aged.audit("prune", MONTH, code=1).stderr
    aged.seal()
    assert aged.audit("prune", MONTH, "--json") == {"month": MONTH, "rows": 20}
    assert not partition_is_there(aged)
    answer = aged.verify()
    assert answer["ok"] and answer["prunedMonths"] == 1 and answer["warnings"] == [] and answer["size"] >= size
    assert aged.sql("select object_id, detail->>'rows' from vestal.audit_event where action = 'audit.pruned'") == [(MONTH, "20")]
    aged.seal()
    assert aged.verify()["unsealed"] == 0
    assert aged.audit("prune", MONTH, code=1).returncode == 1, "only once"
    # The signed months are the only ones.
    event = aged.sql("select id from vestal.audit_event where reason = 'x' order by id limit 1")[0][0]
    aged.tamper(f"delete from vestal.audit_event where id = {event}")
    assert aged.found() == [("deleted", aged.leaf_of(event), event)]
    aged.tamper(f"update vestal.audit_leaf set at = '2025-03-09' where event_id = {event}")
    assert "prune" in {what for what, _, _ in aged.found()}, "nor does another event's leaf move there"


def test_what_is_not_proved_is_not_pruned(aged, tmp_path):
    def refused(month=MONTH, code=1):
        before = aged.sql("select count(*) from vestal.audit_checkpoint"), aged.sql("select count(*) from vestal.audit_event")
        text = aged.audit("prune", month, code=code).stderr
        assert before == (aged.sql("select count(*) from vestal.audit_checkpoint"), aged.sql("select count(*) from vestal.audit_event"))
        assert partition_is_there(aged)
        return text

    refused("2025-3", code=64)
    refused("2024-01")
    assert "no sealed export" in refused()
    aged.audit("export", MONTH, "--csv", "--out", tmp_path / "csv")
    aged.audit("export", "--from", FROM, "--to", "2025-04-01", "--out", tmp_path / "range")
    aged.seal()
    assert "no sealed export" in refused(), "what cannot be proved afterwards is no archive"
    aged.audit("export", MONTH, "--out", tmp_path / "one")
    aged.seal()
    aged.sql("insert into vestal.audit_event (at, program, actor, actor_auth, action, outcome) values ('2025-03-09', 't', 'a', 'n', 'test.done', 'ok')")
    assert "not sealed and exported" in refused()
    aged.seal()
    assert "20 events, and 21" in refused()
    aged.audit("export", MONTH, "--out", tmp_path / "two")
    aged.seal()
    shutil.rmtree(aged.checkpoints)
    assert "do not reach" in refused()
    now = aged.sql("select to_char(now() at time zone 'UTC', 'YYYY-MM')")[0][0]
    aged.audit("export", now, "--out", tmp_path / "now")
    aged.seal()
    aged.audit("prune", now, code=1)
    aged.audit("prune", MONTH)
    assert aged.verify()["ok"]


def test_a_reader_makes_no_writer_wait_for_pruning(aged, tmp_path):
    aged.audit("export", MONTH, "--out", tmp_path / "march")
    aged.seal()
    with closing(aged.connect("vestal_sealer", autocommit=False)) as reader, reader.cursor() as cursor:
        cursor.execute("select count(*) from vestal.audit_event")
        assert "in time" in aged.audit("prune", MONTH, code=1).stderr
        aged.write()
    assert partition_is_there(aged)
    aged.audit("prune", MONTH)
    assert aged.verify()["ok"]


def test_nobody_else_prunes(aged):
    for role in ("vestal_worker", "vestal_refresher", "vestal_auditor", "vestal_operator"):
        with closing(aged.connect(role)) as connection, connection.cursor() as cursor:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("select vestal.audit_prune('2025-03-01')")
    with closing(aged.connect("vestal_sealer")) as connection, connection.cursor() as cursor:
        for month in ("2025-03-01", "2025-03-02", "2999-01-01"):
            with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
                cursor.execute("select vestal.audit_prune(%s)", (month,))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("drop table vestal.audit_event_202503")
    assert partition_is_there(aged)
