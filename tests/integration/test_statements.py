"""Every statement of sql/queries against the migrated schema, under each role that its head names; and migrations."""

import hashlib
import os
import re
import secrets
import subprocess
from contextlib import closing

import psycopg2
import pytest
from harness import TREE, postgres_program

QUERIES = sorted((TREE / "sql/queries").glob("*/*.sql"))
SCHEMA = sorted((TREE / "sql/schema").glob("[0-9]*.sql"))
USERS = {"worker": "vestal_worker", "refresher": "vestal_refresher", "operator": "vestal_operator", "sealer": "vestal_sealer", "owner": "vestal_operator"}
TYPES = {"int8": "bigint", "int4": "integer", "bool": "boolean", "timestamptz": "timestamp with time zone"}


class Statement:
    """A file: its head and its text."""

    def __init__(self, path):
        self.name = f"{path.parent.name}/{path.stem}"
        text = path.read_text()
        head = dict(re.findall(r"^-- (\w+): +(.*)$", text, re.M))
        assert {"role", "params", "rows"} <= set(head), f"{self.name}: the head is not whole"
        self.roles = head["role"].split()
        self.sql = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        declared = re.findall(r"\$(\d+) (\w+(?:\[\])?)", head["params"])
        assert [int(number) for number, _ in declared] == list(range(1, len(declared) + 1)), self.name
        self.types = [re.sub(r"\w+", lambda word: TYPES.get(word[0], word[0]), kind) for _, kind in declared]
        self.rows = head["rows"]


STATEMENTS = [Statement(path) for path in QUERIES]
CASES = [(s, role) for s in STATEMENTS for role in s.roles]


def session(stack, role):
    """As the program's own: nothing but pg_catalog is found without its schema's name."""
    connection = psycopg2.connect(
        host=stack.env["PGHOST"], port=stack.env["PGPORT"], dbname=stack.env["PGDATABASE"], user=USERS[role], options="-c search_path=pg_catalog"
    )
    if role == "owner":
        with connection.cursor() as cursor:
            cursor.execute("set role vestal_owner")
    return closing(connection)


def run(cursor, statement):
    """Prepares and runs it with nulls: harmless, and every privilege is checked before the first row."""
    cursor.execute(f"prepare tried as {statement.sql}")
    cursor.execute("select parameter_types::text[] from pg_prepared_statements where name = 'tried'")
    types = cursor.fetchone()[0]
    call = f"execute tried ({', '.join(['null'] * len(types))})" if types else "execute tried"
    cursor.execute("savepoint before")
    try:
        cursor.execute(call)
    except psycopg2.errors.NotNullViolation:  # as far as it can come
        cursor.execute("rollback to savepoint before")
    return types


@pytest.mark.parametrize(("statement", "role"), CASES, ids=[f"{s.name}-{role}" for s, role in CASES])
def test_statement(stack, statement, role):
    with session(stack, role) as connection, connection.cursor() as cursor:
        assert run(cursor, statement) == statement.types, "the head says something else"
        connection.rollback()


def test_no_statement_is_missing():
    assert len(STATEMENTS) > 40 and set().union(*(s.roles for s in STATEMENTS)) == set(USERS)


@pytest.mark.parametrize("role", ["worker", "refresher", "operator"])
def test_a_missing_grant_is_found(stack, role):
    """Guards the test above: takes each grant away in turn, and some statement of the role must fail."""
    mine = [s for s in STATEMENTS if role in s.roles]
    with closing(stack.connect_database()) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute(
            "select relname, array(select v from unnest(array['select', 'insert', 'update', 'delete']) v"
            "  where has_table_privilege(%s, oid, v) or (v <> 'delete' and has_any_column_privilege(%s, oid, v)))"
            " from pg_class where relnamespace = 'vestal'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition",
            (USERS[role], USERS[role]))  # fmt: skip
        rights = cursor.fetchall()
        assert not any(fails_as(cursor, role, s) for s in mine)
        taken, unused = 0, []
        for table, verbs in rights:
            for verb in verbs:
                taken += 1
                cursor.execute("savepoint whole")
                cursor.execute(f"revoke {verb} on vestal.{table} from {USERS[role]}")
                if not any(fails_as(cursor, role, s) for s in mine):
                    unused.append((table, verb))
                cursor.execute("rollback to savepoint whole")
        connection.rollback()
    assert taken > 10 and len(unused) < taken / 2, "the check does not notice what is missing"
    assert role != "worker" or unused == [], "granted for nothing"


def fails_as(cursor, role, statement):
    cursor.execute("savepoint statement")
    cursor.execute(f"set local session authorization {USERS[role]}")
    try:
        run(cursor, statement)
        return False
    except psycopg2.errors.InsufficientPrivilege:
        return True
    finally:
        cursor.execute("rollback to savepoint statement")
        cursor.execute("deallocate all")


# --- migrations


class Database:
    """An empty database of a test's own in the stack's cluster, and vestalctl pointed at it."""

    def __init__(self, stack):
        self.stack, self.name = stack, f"m_{secrets.token_hex(6)}"
        stack.sql(f"create database {self.name}")
        self.sql((TREE / "sql/roles.sql").read_text())
        self.environment = {
            **os.environ,
            "VESTAL_CONF": stack.env["VESTAL_CONF"],
            "VESTAL_DATABASE": f"host={stack.env['PGHOST']} port={stack.env['PGPORT']} dbname={self.name}",
        }

    def sql(self, text, *values):
        connection = psycopg2.connect(
            host=self.stack.env["PGHOST"], port=self.stack.env["PGPORT"], dbname=self.name, user=self.stack.env["PGUSER"]
        )
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def start(self):
        program = [f"{self.stack.env['VESTAL_BIN']}/vestalctl", "migrate"]
        return subprocess.Popen(program, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def migrate(self):
        process = self.start()
        _, error = process.communicate(timeout=60)
        return process.returncode, error

    def picture(self):
        """Everything that migrating could change, and when it last did."""
        dump = subprocess.run(
            [postgres_program("pg_dump"), "--schema-only", "-h", self.stack.env["PGHOST"], "-p", self.stack.env["PGPORT"],
             "-U", self.stack.env["PGUSER"], self.name], check=True, capture_output=True, text=True).stdout  # fmt: skip
        lines = [line for line in dump.splitlines() if not re.match(r"--|\\(un)?restrict", line)]
        return lines, self.history()

    def history(self):
        return self.sql("select version, name, sha256, applied_at::text from vestal.schema_migration order by 1")

    def drop(self):
        self.stack.sql(f"drop database {self.name} with (force)")


@pytest.fixture
def database(stack):
    made = Database(stack)
    yield made
    made.drop()


def test_migrate_an_empty_database(database):
    assert database.migrate() == (0, "")
    embedded = {p.name: p.read_bytes().replace(b"\t", b" ") for p in SCHEMA if not p.name.startswith("0000")}
    wanted = [(int(name[:4]), name, hashlib.sha256(text).hexdigest()) for name, text in embedded.items()]
    assert [row[:3] for row in database.history()] == wanted and wanted
    assert database.sql("select count(*) from pg_inherits where inhparent = 'vestal.audit_event'::regclass") == [(14,)]
    assert database.sql("select count(*) from vestal.connection_report") == [(0,)]


def test_migrate_again_changes_nothing(database):
    database.migrate()
    before = database.picture()
    assert database.migrate() == (0, "") and database.picture() == before


def test_grants_are_mended(database):
    database.migrate()
    before = database.picture()
    database.sql("grant select on vestal.token to vestal_auditor; revoke select on vestal.app from vestal_worker")
    assert database.picture() != before
    assert database.migrate() == (0, "") and database.picture() == before


@pytest.mark.parametrize("change", [
    "update vestal.schema_migration set sha256 = encode(sha256('edited'), 'hex') where version = 1",
    "update vestal.schema_migration set sha256 = encode(sha256('edited'), 'hex') where version = (select max(version) from vestal.schema_migration)",
    "insert into vestal.schema_migration (version, name, sha256) values (9999, '9999_later', 'x')",
    "delete from vestal.schema_migration where version = 1",
])  # fmt: skip
def test_another_history_is_refused(database, change):
    """An edited script, a newer program's database, a hole: nothing is done."""
    database.migrate()
    database.sql(change)
    database.sql("revoke select on vestal.app from vestal_worker")  # what a run that went on would mend
    before = database.picture()
    code, error = database.migrate()
    assert code == 1 and re.search("schema|script", error), error
    assert database.picture() == before


def test_a_newer_database_is_named(database):
    database.migrate()
    database.sql("insert into vestal.schema_migration (version, name, sha256) values (9999, '9999_later', 'x')")
    _, error = database.migrate()
    assert "9999" in error, error


def test_two_migrations_at_once(database):
    processes = [database.start() for _ in range(4)]
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0] * 4
    once = database.picture()
    assert database.migrate()[0] == 0 and database.picture() == once


def test_migrate_without_roles_says_so(stack):
    """roles.sql was forgotten: the operator may not create the schema there."""
    name = f"m_{secrets.token_hex(6)}"
    stack.sql(f"create database {name}")
    try:
        environment = {**os.environ, "VESTAL_CONF": stack.env["VESTAL_CONF"],
                       "VESTAL_DATABASE": f"host={stack.env['PGHOST']} port={stack.env['PGPORT']} dbname={name}"}  # fmt: skip
        done = subprocess.run([f"{stack.env['VESTAL_BIN']}/vestalctl", "migrate"], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "42501" in done.stderr, done
    finally:
        stack.sql(f"drop database {name} with (force)")
