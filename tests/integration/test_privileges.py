"""Who may do what in the database: the whole matrix as PostgreSQL sees it, and the audit trail tried for real.

The matrix says the same as sql/grants.sql in another form, so that neither can drift alone.
"""

import io
import re
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors

LOGINS = ("vestal_worker", "vestal_refresher", "vestal_auditor", "vestal_operator", "vestal_sealer")
ROLES = (*LOGINS, "vestal_owner", "public")
EVERYTHING = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
BY_COLUMN = ("select", "insert", "update", "references")

# What a writer may say of itself; id, at, xid, db_user, salt, schema_version and detail are the database's word.
EVENT = """host program request_id run_id actor actor_auth address user_agent action outcome object_type object_id client_id
	provider connection_id incident_id generation key_id fingerprint reason severity clock_ok detail_text"""
# What a claim and its end leave of a connection, and what a renewal makes of a token.
LEASE = "fence lease_owner lease_until tried_at deferred_by refusals ambiguous_at mints undistributed"
RENEWED = """generation access_sealed refresh_sealed access_fingerprint refresh_fingerprint token_type issued_at expires_at
	grant_ends_at idle_ends_at"""
CHECKED = "checked_at found found_at found_generation"
GATE = "select insert(provider datacenter app_id cause) update(state cause code failures openings since retry_at version deaths)"
AUDITED = "v_audit_event v_token_touch v_override v_login_failed v_service_access v_reauthorization v_renewal v_key_lifecycle v_incident_ttr v_incident_timeline v_audit_seal"

# A line a table: its verbs, with the columns where it is not the whole table. Everything that does not stand here is
# denied; the owner may do everything.
MATRIX = {
    "vestal_worker": f"""
        schema_migration       select
        audit_event            insert({EVENT})
        client                 select insert(id name) update(name removed_at)
        app                    select
        connection             select insert(client_id provider) update(app_id datacenter api_domain scope kept passive
                               last_generation state cause failures last_error_code last_error_at last_refreshed_at
                               last_proved_at next_refresh_at overdue_at copy_generation environment_generation removed_at
                               account_fingerprint {CHECKED} {LEASE})
        token                  select insert delete update({RENEWED})
        token_history          select insert update(spent restored_as revocation revoke_since revoke_due_at revoke_tries)
        authorization_attempt  select insert update(ended_at outcome held_sealed held_until held_asked_at)
        incident               select insert update(state cause reason impact_start opened_at acknowledged_at acknowledged_by
                               resolved_at resolved_by recovering_at parent_id flaps note remind_at)
        outbox                 select(message_id incident_id sent_at) insert
        v_incident_ttr         select
        v_incident_timeline    select
        api_key                select update(last_used_on)
        connection_report      select
        refresh_run            select
        provider_state         {GATE}
    """,
    "vestal_refresher": f"""
        schema_migration       select
        audit_event            insert({EVENT})
        client                 select
        app                    select
        connection             select update(api_domain scope last_generation state cause failures last_error_code
                               last_error_at last_refreshed_at last_proved_at next_refresh_at overdue_at copy_generation
                               environment_generation account_fingerprint {CHECKED} {LEASE})
        token                  select update({RENEWED})
        token_history          select insert delete update(spent revocation revoke_due_at revoke_tries)
        refresh_run            select insert delete update(ended_at exit_code counts error)
        provider_state         {GATE}
        authorization_attempt  select delete update(ended_at outcome held_sealed)
        incident               select insert update(state cause reason impact_start opened_at resolved_at resolved_by
                               recovering_at parent_id flaps reminders remind_at)
        outbox                 select insert update(next_attempt_at attempts sent_at claimed_until mail_id withdrawn_at
                               last_error)
        connection_report      select
    """,
    "vestal_operator": f"""
        schema_migration       select
        audit_event            insert({EVENT})
        client                 select insert(id name) update(name removed_at)
        app                    select insert update(oauth_client_id secret_sealed generation redirect_uri params
                               secret_ends_on updated_at)
        connection             select insert(client_id provider) update(removed_at account_fingerprint)
        token                  select(connection_id generation access_fingerprint refresh_fingerprint token_type issued_at
                               expires_at granted_at grant_ends_at idle_ends_at)
        token_history          select(connection_id refresh_fingerprint ended_by)
        incident               select update(state acknowledged_at acknowledged_by note remind_at resolved_at resolved_by)
        outbox                 select(message_id incident_id sent_at) insert
        refresh_run            select
        provider_state         select update(state retry_at)
        connection_report      select
        api_key                select(id name role clients providers addresses created_at expires_at revoked_at last_used_on)
                               insert update(revoked_at)
        {AUDITED}              select
    """,
    "vestal_auditor": f"""
        connection_report      select
        {AUDITED}              select
    """,
    "vestal_sealer": f"""
        schema_migration       select
        audit_event            select insert({EVENT})
        audit_leaf             select insert
        audit_checkpoint       select insert
        connection             select(id client_id provider)
        token                  select(connection_id generation access_fingerprint)
        v_audit_seal           select
    """,
    "public": "",
}

FUNCTIONS = {
    "rfc3339": {*ROLES},
    "seconds_left": {*ROLES},
    "in_a_week": {*ROLES},
    "audit_make_partitions": {"vestal_owner", "vestal_refresher", "vestal_operator"},
    "audit_prune": {"vestal_owner", "vestal_sealer"},
    "audit_guard": {"vestal_owner"},
    "audit_refuse": {"vestal_owner"},
}


def expected(role):
    """{(table, verb): "*" or the columns}."""
    rights = {}
    words = re.findall(r"(\w+)(?:\(([^)]*)\))?", MATRIX[role])
    tables, last = [], None
    for word, columns in words:
        if word not in EVERYTHING:
            tables = [word] if last in EVERYTHING or not tables else [*tables, word]
        else:
            rights |= {(table, word): tuple(sorted(columns.split())) if columns else "*" for table in tables}
        last = word
    return rights


@pytest.fixture(scope="module")
def relations(stack):
    return dict(
        stack.sql(
            "select relname, relkind::text from pg_class where relnamespace = 'vestal'::regnamespace and relkind in ('r','p','v','m','f')"
        )
    )


def as_role(stack, role, autocommit=True):
    connection = stack.connect_database(role)
    connection.autocommit = autocommit
    return closing(connection)


# --- the matrix


@pytest.mark.parametrize("role", ROLES)
def test_tables_partitions_and_views(stack, relations, role):
    rows = stack.sql(
        """select c.relname, v.verb, has_table_privilege(%s, c.oid, v.verb), case when v.verb = any (%s) then
            array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                and not a.attisdropped and has_column_privilege(%s, c.oid, a.attnum, v.verb) order by 1) end
        from pg_class c, unnest(%s) v(verb)
        where c.relnamespace = 'vestal'::regnamespace and c.relkind in ('r','p','v','m','f')""",
        role, list(BY_COLUMN), role, list(EVERYTHING))  # fmt: skip
    real = {(table, verb): "*" if whole else tuple(columns or ()) for table, verb, whole, columns in rows}
    real = {right: columns for right, columns in real.items() if columns}
    if role == "vestal_owner":
        assert real == {(table, verb): "*" for table in relations for verb in EVERYTHING}
    else:
        assert real == expected(role)
    assert len(rows) == len(relations) * len(EVERYTHING) and "audit_event_default" in relations


def test_the_matrix_names_what_there_is(relations):
    named = {table for role in MATRIX for table, _ in expected(role)}
    assert named <= set(relations)
    assert {name for name in relations if name.startswith("v_")} == set(AUDITED.split())


@pytest.mark.parametrize("role", ROLES)
def test_sequences(stack, role):
    rows = stack.sql(
        "select relname, has_sequence_privilege(%s, oid, 'usage, select, update') from pg_class"
        " where relnamespace = 'vestal'::regnamespace and relkind = 'S'", role)  # fmt: skip
    assert len(rows) >= 6
    assert {name for name, may in rows if may} == ({name for name, _ in rows} if role == "vestal_owner" else set())


def test_functions(stack):
    rows = stack.sql(
        """select p.proname, array(select r from unnest(%s) r where has_function_privilege(r, p.oid, 'execute'))
        from pg_proc p where p.pronamespace = 'vestal'::regnamespace""", list(ROLES))  # fmt: skip
    assert {name: set(roles) for name, roles in rows} == FUNCTIONS


def test_functions_that_run_as_their_owner(stack):
    rows = stack.sql("select proname, proconfig from pg_proc where pronamespace = 'vestal'::regnamespace and prosecdef")
    assert sorted(name for name, _ in rows) == ["audit_make_partitions", "audit_prune"]
    assert all('search_path=""' in config for _, config in rows), "whoever calls them could lend them his own tables"


def test_schemas_and_database(stack):
    schemas = stack.sql(
        """select r, n, has_schema_privilege(r, n, 'usage'), has_schema_privilege(r, n, 'create')
        from unnest(%s) r, unnest(array['vestal', 'public']) n""", list(ROLES))  # fmt: skip
    assert {(role, schema) for role, schema, usage, _ in schemas if usage} == {(r, "vestal") for r in (*LOGINS, "vestal_owner")}
    assert {(role, schema) for role, schema, _, create in schemas if create} == {("vestal_owner", "vestal")}
    database = stack.sql(
        """select r, v from unnest(%s) r, unnest(array['connect', 'create', 'temporary']) v
        where has_database_privilege(r, current_database(), v)""", list(ROLES))  # fmt: skip
    assert set(database) == {(role, "connect") for role in LOGINS} | {("vestal_owner", "create")}


def test_roles(stack):
    rows = stack.sql(
        """select rolname, rolcanlogin from pg_roles where rolname ~ '^vestal_' and rolname <> %s
            and not rolsuper and not rolcreaterole and not rolcreatedb and not rolreplication and not rolbypassrls
            and (not rolinherit or not rolcanlogin)""", stack.env["PGUSER"])  # fmt: skip
    assert dict(rows) == {role: True for role in LOGINS} | {"vestal_owner": False}
    members = stack.sql(
        """select r.rolname, m.rolname, a.admin_option from pg_auth_members a join pg_roles r on r.oid = a.roleid
            join pg_roles m on m.oid = a.member where m.rolname ~ '^vestal_' or r.rolname ~ '^vestal_'"""
    )
    assert members == [("vestal_owner", "vestal_operator", False)]


def test_the_owner_owns_all(stack):
    owners = stack.sql(
        """select relowner::regrole::text from pg_class where relnamespace = 'vestal'::regnamespace
        union select proowner::regrole::text from pg_proc where pronamespace = 'vestal'::regnamespace
        union select typowner::regrole::text from pg_type where typnamespace = 'vestal'::regnamespace
        union select nspowner::regrole::text from pg_namespace where nspname = 'vestal'"""
    )
    assert owners == [("vestal_owner",)]
    assert stack.sql("select * from pg_default_acl") == []


def test_only_the_operator_becomes_owner(stack):
    for role in LOGINS:
        with as_role(stack, role) as connection, connection.cursor() as cursor:
            if role == "vestal_operator":
                cursor.execute("set role vestal_owner")
                cursor.execute("select current_user::text, session_user::text")
                assert cursor.fetchone() == ("vestal_owner", "vestal_operator")
            else:
                for other in ("vestal_owner", "vestal_operator", stack.env["PGUSER"]):
                    with pytest.raises(errors.InsufficientPrivilege):
                        cursor.execute(f"set role {other}")


CHANGES = (
    "create table vestal.mine (a int)", "create view vestal.mine as select 1", "create temporary table mine (a int)",
    "create table public.mine (a int)", "create schema mine", "create function vestal.mine() returns int return 1",
    "create type vestal.mine as enum ('a')", "create sequence vestal.mine", "create index on vestal.client (name)",
    "alter table vestal.client add mine int", "alter table vestal.client owner to current_user", "drop table vestal.outbox",
    "drop view vestal.connection_report", "drop function vestal.rfc3339", "alter schema vestal rename to mine",
    "comment on table vestal.client is 'mine'",
    "alter table vestal.audit_event disable trigger all", "alter table vestal.audit_event_default disable trigger all",
    "alter table vestal.audit_event detach partition vestal.audit_event_default", "drop trigger audit_event_keep on vestal.audit_event",
    "create trigger mine before insert on vestal.audit_event for each row execute function vestal.audit_refuse()",
    "create rule mine as on insert to vestal.audit_event do instead nothing", "drop table vestal.audit_event_default",
    "alter function vestal.audit_refuse() rename to mine", "create policy mine on vestal.audit_event",
    "alter role vestal_worker superuser", "grant vestal_owner to vestal_worker",
)  # fmt: skip


@pytest.mark.parametrize("role", LOGINS)
def test_nobody_changes_the_schema(stack, role):
    with as_role(stack, role, autocommit=False) as connection, connection.cursor() as cursor:
        for change in CHANGES:
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(change)
                pytest.fail(f"{role} could: {change}")
            connection.rollback()


# --- the audit trail

GOOD = ("program, actor, actor_auth, action, outcome", "'test', 'nobody', 'none', 'test.tried', 'ok'")


def insert(columns="", values="", table="audit_event", before="", after=""):
    return f"insert into vestal.{table} ({columns}{GOOD[0]}) {before} values ({values}{GOOD[1]}) {after}"


DENIED = {
    "read": "select * from vestal.audit_event",
    "read one column": "select action from vestal.audit_event",
    "count": "select count(*) from vestal.audit_event",
    "read by returning": insert(after="returning id"),
    "read by conflict": insert(after="on conflict (id, at) do nothing"),
    "update": "update vestal.audit_event set outcome = 'ok'",
    "update by conflict": insert(after="on conflict (id, at) do update set outcome = 'ok'"),
    "update by merge": "merge into vestal.audit_event e using (select 1) s on true when matched then update set outcome = 'ok'",
    "delete": "delete from vestal.audit_event",
    "truncate": "truncate vestal.audit_event",
    "truncate a partition": "truncate vestal.audit_event_default",
    "copy out": "copy vestal.audit_event to stdout",
    "copy out one column": "copy vestal.audit_event (action) to stdout",
    "copy a query out": "copy (select * from vestal.audit_event) to stdout",
    "copy in whole": "copy vestal.audit_event from stdin",
    "copy in id": f"copy vestal.audit_event (id, {GOOD[0]}) from stdin",
    "copy in at": f"copy vestal.audit_event (at, {GOOD[0]}) from stdin",
    "copy into a partition": f"copy vestal.audit_event_default ({GOOD[0]}) from stdin",
    "insert into the default partition": insert(table="audit_event_default"),
    "set id": insert("id, ", "1, "),
    "set id, overriding": insert("id, ", "1, ", before="overriding system value"),
    "default id": insert("id, ", "default, "),
    "set at": insert("at, ", "now() - interval '1 year', "),
    "default at": insert("at, ", "default, "),
    "set xid": insert("xid, ", "'1', "),
    "set db_user": insert("db_user, ", "'vestal_operator', "),
    "set salt": insert("salt, ", "'\\x00', "),
    "default salt": insert("salt, ", "default, "),
    "set schema_version": insert("schema_version, ", "2, "),
    "set detail": insert("detail, ", "'{}', "),
    "lock": "lock table vestal.audit_event in access exclusive mode",
    "lock a little": "lock table vestal.audit_event in share mode",
    "switch triggers off": "set session_replication_role = replica",
    "read the sequence": "select * from vestal.audit_event_id_seq",
    "set the sequence": "select setval('vestal.audit_event_id_seq', 1)",
    "read through a view": "select * from vestal.v_audit_event",
    "read the file": "select pg_read_file('postgresql.conf')",
}


@pytest.mark.parametrize("trick", DENIED)
@pytest.mark.parametrize("role", ["vestal_worker", "vestal_refresher"])
def test_a_writer_only_adds(stack, role, trick):
    with as_role(stack, role, autocommit=False) as connection, connection.cursor() as cursor:
        # A value for what is always generated is refused even before the privilege is looked at.
        with pytest.raises(errors.GeneratedAlways if trick in ("set id", "set detail") else errors.InsufficientPrivilege):
            if trick.startswith("copy"):
                cursor.copy_expert(DENIED[trick], io.BytesIO())
            else:
                cursor.execute(DENIED[trick])


@pytest.mark.parametrize("role", ["vestal_worker", "vestal_refresher", "vestal_operator"])
def test_what_the_database_says_of_a_row(stack, role):
    """The denials above are about the column: the same row without it is taken, and its origin is not the writer's to choose."""
    with as_role(stack, role) as connection, connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select pg_current_xact_id()::text, clock_timestamp()")
        xid, before = cursor.fetchone()
        cursor.execute(insert("request_id, ", "'privileges', "))
        cursor.execute(insert("request_id, ", "'privileges', "))
        cursor.execute("commit")
    rows = stack.sql(
        "select db_user, xid::text, at >= %s and at <= clock_timestamp(), salt, schema_version, id from vestal.audit_event"
        " where xid::text = %s and request_id = 'privileges' order by id", before, xid)  # fmt: skip
    assert [row[:3] for row in rows] == [(role, xid, True)] * 2
    assert len({bytes(row[3]) for row in rows}) == 2 and {len(row[3]) for row in rows} == {16}
    assert rows[0][5] < rows[1][5] and rows[0][4] == 1


@pytest.mark.parametrize("role", ["vestal_operator", "vestal_auditor"])
def test_the_trail_itself_is_hidden(stack, role):
    with as_role(stack, role) as connection, connection.cursor() as cursor:
        for statement in ("select salt from vestal.audit_event", "select action from vestal.audit_event", "delete from vestal.audit_event"):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(statement)


def month(offset):
    return f"(date_trunc('month', now() at time zone 'UTC') + interval '{offset} months') at time zone 'UTC'"


def partitions(cursor):
    """{partition: its bound as PostgreSQL prints it}, in UTC."""
    cursor.execute("set local timezone = 'UTC'")
    cursor.execute(
        "select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'vestal.audit_event'::regclass order by 1"
    )
    return dict(cursor.fetchall())


def tries(cursor, statement):
    """Whether it is refused by the trigger; leaves the transaction as it was."""
    cursor.execute("savepoint tried")
    try:
        cursor.execute(statement)
        return False
    except errors.InsufficientPrivilege as refusal:
        return "audit events are never changed" in str(refusal)
    finally:
        cursor.execute("rollback to savepoint tried")


@pytest.mark.parametrize("replica", [False, True], ids=["origin", "replica"])
@pytest.mark.parametrize("who", ["superuser", "owner"])
def test_not_even_the_owner_changes_it(stack, who, replica):
    """Each partition gets a row of its month, so that a row trigger has something to fire on."""
    with as_role(stack, stack.env["PGUSER"], autocommit=False) as connection, connection.cursor() as cursor:
        names = partitions(cursor)
        for offset in range(13):
            cursor.execute(insert("at, ", f"{month(offset)}, "))
        cursor.execute(insert("at, ", f"{month(200)}, "))
        if replica:
            cursor.execute("set local session_replication_role = replica")
        if who == "owner":
            cursor.execute("set local role vestal_owner")
        for table in ("audit_event", *names):
            cursor.execute(f"select count(*) from vestal.{table}")
            assert cursor.fetchone()[0] > 0, table
            for statement in (
                f"update vestal.{table} set outcome = 'error'", f"delete from vestal.{table}", f"truncate vestal.{table}",
                f"truncate only vestal.{table}" if table != "audit_event" else "truncate vestal.audit_event cascade",
                f"update vestal.{table} set at = at + interval '1 month'",
            ):  # fmt: skip
                assert tries(cursor, statement), statement
        assert tries(cursor, "merge into vestal.audit_event e using (select 1) s on true when matched then delete")
        connection.rollback()


def test_every_guard_fires_always(stack):
    rows = stack.sql(
        """select c.relname, array_agg(t.tgname || ' ' || t.tgenabled::text order by t.tgname) from pg_trigger t
        join pg_class c on c.oid = t.tgrelid where c.relname ~ '^audit_event' and c.relkind in ('r', 'p') group by 1"""
    )
    with as_role(stack, stack.env["PGUSER"], autocommit=False) as connection, connection.cursor() as cursor:
        names = {"audit_event", *partitions(cursor)}
    assert dict(rows) == {name: ["audit_event_keep A", "audit_event_keep_all A"] for name in names}


def test_partitions_of_the_next_year(stack):
    with as_role(stack, stack.env["PGUSER"], autocommit=False) as connection, connection.cursor() as cursor:
        found = partitions(cursor)
        cursor.execute(
            f"""select 'audit_event_' || to_char(at, 'YYYYMM'), format('FOR VALUES FROM (%L) TO (%L)', at::text, (at + interval '1 month')::text)
            from (select {month(0)} + make_interval(months => n) as at from generate_series(0, 12) n) months"""
        )
        wanted = dict(cursor.fetchall())
    assert found.pop("audit_event_default") == "DEFAULT"
    assert {name: bound for name, bound in found.items() if name in wanted} == wanted
    assert min(found) == min(wanted), "made ahead, never behind"


def test_a_row_never_finds_no_partition(stack):
    with as_role(stack, stack.env["PGUSER"], autocommit=False) as connection, connection.cursor() as cursor:
        for offset, partition in ((200, "vestal.audit_event_default"), (-1, "vestal.audit_event_default")):
            cursor.execute(insert("at, ", f"{month(offset)}, ", after="returning tableoid::regclass::text"))
            assert cursor.fetchone() == (partition,)
        cursor.execute(insert(after="returning tableoid::regclass::text, 'vestal.audit_event_' || to_char(at at time zone 'UTC', 'YYYYMM')"))
        real, wanted = cursor.fetchone()
        assert real == wanted
        connection.rollback()


def test_making_partitions_again(stack):
    with as_role(stack, "vestal_refresher") as connection, connection.cursor() as cursor:
        for months in (12, 0, -1):
            cursor.execute("select vestal.audit_make_partitions(%s)", (months,))
            assert cursor.fetchone() == (0,)


def test_making_partitions_twice_at_once(stack):
    """The second waits for the first, then finds them made or, after a rollback, makes them, guards and all."""
    with as_role(stack, "vestal_refresher", autocommit=False) as first, as_role(stack, "vestal_operator", autocommit=False) as second:
        one, two = first.cursor(), second.cursor()
        one.execute("select vestal.audit_make_partitions(14)")
        assert one.fetchone() == (2,)
        two.execute("set lock_timeout = '200ms'")
        with pytest.raises(errors.LockNotAvailable):
            two.execute("select vestal.audit_make_partitions(14)")
        second.rollback()
        first.rollback()
        two.execute("select vestal.audit_make_partitions(14)")
        assert two.fetchone() == (2,)
        two.execute("select vestal.audit_make_partitions(14)")
        assert two.fetchone() == (0,)
        two.execute("select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid where c.relname = 'audit_event_'"
                    f" || to_char({month(14)}, 'YYYYMM') and t.tgenabled = 'A'")  # fmt: skip
        assert two.fetchone() == (2,)
        second.rollback()


# --- the auditor


def test_the_auditor_reads_views_only(stack, relations):
    views = {name for name, kind in relations.items() if kind == "v"}
    with as_role(stack, "vestal_auditor") as connection, connection.cursor() as cursor:
        for name in relations:
            if name not in views:
                with pytest.raises(errors.InsufficientPrivilege):
                    cursor.execute(f"select * from vestal.{name} limit 1")
                continue
            cursor.execute(f"select * from vestal.{name} limit 1")
            columns = [column.name for column in cursor.description]
            assert not [c for c in columns if re.search(r"sealed|salt|hash|secret|verifier", c)], name
            types = {column.type_code for column in cursor.description}
            assert psycopg2.BINARY.values[0] not in types, f"{name} shows bytes"
        for statement in ("insert into vestal.v_audit_event (action) values ('x.y')", "delete from vestal.v_token_touch"):
            with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
                cursor.execute(statement)


def test_the_views_take_nothing_sealed(stack):
    """Not by another name either: what the views read of the tables, by their dependencies."""
    rows = stack.sql(
        """select distinct v.relname, c.relname, a.attname from pg_rewrite r join pg_class v on v.oid = r.ev_class
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
            join pg_class c on c.oid = d.refobjid join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
        where v.relnamespace = 'vestal'::regnamespace and v.relkind = 'v' and c.oid <> v.oid"""
    )
    assert len(rows) > 50
    sealed = re.compile("sealed|salt|hash")
    assert [row for row in rows if sealed.search(row[2])] == []


def test_grants_are_the_last_word(stack):
    """The file that grants begins by taking everything back."""
    text = (Path(__file__).resolve().parents[2] / "sql/grants.sql").read_text()
    for kind in ("tables", "sequences", "functions"):
        assert re.search(rf"revoke all on all {kind} in schema vestal from public, {', '.join(LOGINS)};", text)
