"""Gates, incidents of gates, runs and health reports: the statements of sql/queries/{gate,run} and the view that judges,
against a real database. What makes a provider's bad day cost one request at a time, and one person one mail."""

from datetime import timedelta

import psycopg2
import pytest
from rows import at_once, behind, laid_out

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def database(stack):
    with laid_out(stack) as made:
        yield made


@pytest.fixture
def rows(database):
    database.empty()
    yield database
    database.close()


@pytest.fixture
def refresher(rows):
    return rows.session("refresher")


@pytest.fixture
def gate(rows):
    """Of a provider's data centre, closed and calm."""
    return rows.sql("insert into vestal.provider_state (provider, datacenter) values (%s, 'us') returning id", rows.provider())[0][0]


class Notes:
    """Notes answers to a gate; what changed: (state, opened, closed, seconds) or None."""

    def __init__(self, rows, id, session=None, threshold=5, first=30, longest=600):
        self.session, self.limits = session or rows.session("worker"), (threshold, first, longest)
        row = rows.gate(id)
        self.id, self.key = id, (row.provider, row.datacenter, row.app_id)

    def note(self, good=0, bad=0, code="http_503", cause="provider_outage", version=None):
        changes = self.session.run("gate/note", *self.key, good, bad, code, cause, *self.limits, version)
        assert [change[0] for change in changes] in ([], [self.id])
        return changes[0][1:] if changes else None

    def bad(self, code="http_503", n=1):
        return self.note(bad=n, code=code)

    def good(self, **more):
        return self.note(good=1, code=None, cause=None, **more)


@pytest.fixture
def notes(rows, gate):
    return Notes(rows, gate)


# --- notes


def test_five_failures_in_a_row_open(rows, gate, notes):
    rows.set("provider_state", gate, since="now() - interval '1 day'")
    assert [notes.bad() for _ in range(4)] == [("closed", False, False, None)] * 4
    row = rows.gate(gate)
    assert (row.state, row.failures, row.code, row.retry_at) == ("closed", 4, "http_503", None)
    state, opened, closed, seconds = notes.bad()
    assert (state, opened, closed) == ("open", True, False) and 26 <= seconds <= 33
    row = rows.gate(gate)
    assert (row.state, row.cause, row.code, row.openings) == ("open", "provider_outage", "http_503", 1)
    assert row.now - row.since < 5 * SECOND and 26 * SECOND < row.retry_at - row.now < 33 * SECOND


def test_five_at_once_open(rows, gate, notes):
    assert notes.bad(n=4)[:2] == ("closed", False)
    notes.good()
    assert notes.bad(n=5)[:2] == ("open", True)


def test_failures_of_several_kinds_do_not_add_up(rows, gate, notes):
    for code in ("http_503", "http_500", "timeout", "http_503", "timeout", "http_500") * 3:
        assert notes.bad(code) == ("closed", False, False, None)
    assert notes.bad("http_503", n=4)[1] is False
    assert notes.bad("timeout")[1] is False and rows.gate(gate).failures == 1
    assert [notes.bad("timeout")[1] for _ in range(4)] == [False, False, False, True]


def test_a_good_answer_forgets_failures(rows, gate, notes):
    notes.bad(n=4)
    assert notes.good() == ("closed", False, False, None)
    assert (rows.gate(gate).failures, rows.gate(gate).code) == (0, None)
    assert notes.bad(n=4)[1] is False and notes.bad()[1] is True


def test_a_good_answer_among_bad_ones_counts(rows, gate, notes):
    notes.bad(n=4)
    assert notes.note(good=1, bad=9)[:2] == ("closed", False)
    assert rows.gate(gate).failures == 0


def test_a_calm_gate_is_not_written(rows, gate, notes):
    def version():
        return rows.sql("select xmin::text, ctid::text from vestal.provider_state where id = %s", gate)

    before = version()
    assert notes.good() is None and notes.good(version=None) is None and notes.note(code=None, cause=None) is None
    assert version() == before
    assert notes.good(version="v1") == ("closed", False, False, None) and rows.gate(gate).version == "v1"
    before = version()
    assert notes.good(version="v1") is None and notes.good() is None and version() == before
    assert notes.good(version="v2") is not None and rows.gate(gate).version == "v2"


def test_a_gate_that_is_not_there(rows, refresher):
    assert refresher.run("gate/note", "nobody", "us", None, 0, 9, "x", "provider_outage", 5, 30, 600, None) == []


def test_an_open_gate_counts_on_but_opens_once(rows, gate, notes):
    """Requests that were on their way when it opened."""
    notes.bad(n=5)
    before = rows.gate(gate)
    assert notes.bad(n=7)[:3] == ("open", False, False)
    after = rows.gate(gate)
    assert (after.retry_at, after.openings, after.since) == (before.retry_at, 1, before.since)


def test_a_try_that_fails_opens_for_twice_as_long(rows, gate, notes):
    notes.bad(n=5)
    since = rows.gate(gate).since
    for wait in (60, 120, 240, 480, 600, 600, 600):
        rows.set("provider_state", gate, retry_at="now()")
        assert notes.session.run("gate/try", gate, 60) == [(gate,)]
        state, opened, closed, seconds = notes.bad("another")
        assert (state, opened, closed) == ("open", False, False)
        assert 0.9 * wait - 1 <= seconds <= min(1.1 * wait, 600)
    assert rows.gate(gate).since == since and rows.gate(gate).openings == 8
    rows.set("provider_state", gate, openings="1000000", state="'half_open'")
    assert 539 <= notes.bad()[3] <= 600


def test_a_try_that_succeeds_closes(rows, gate, notes):
    notes.bad(n=5)
    rows.set("provider_state", gate, retry_at="now()", openings="4", since="now() - interval '1 hour'")
    notes.session.run("gate/try", gate, 60)
    assert notes.good() == ("closed", False, True, None)
    row = rows.gate(gate)
    assert (row.state, row.failures, row.openings, row.retry_at, row.code) == ("closed", 0, 0, None, None)
    assert row.now - row.since < 5 * SECOND
    assert notes.bad(n=5)[1] is True and 26 <= notes.bad()[3] <= 33, "from the beginning again"


def test_a_late_good_answer_closes_too(rows, gate, notes):
    notes.bad(n=5)
    assert notes.good() == ("closed", False, True, None)


def test_it_opens_once_for_all_who_see_it(rows, gate):
    sessions = [Notes(rows, gate) for _ in range(8)]
    changes = at_once([notes.bad for notes in sessions])
    assert sum(opened for _, opened, _, _ in changes) == 1
    assert rows.gate(gate).failures == 8


def test_gates_are_apart(rows, gate, notes):
    """Another data centre, and an app: one refusal of its credentials is enough."""
    provider = rows.gate(gate).provider
    app = rows.app(provider)
    session = notes.session
    for key in ((provider, "eu", None), (provider, "us", app)):
        session.run("gate/ensure", *key)
    eu, of_app = Notes(rows, rows.gate_of(provider, "eu"), session), Notes(rows, rows.gate_of(provider, app=app), session, 1, 300, 3600)
    assert of_app.note(bad=1, code="invalid_client", cause="app_credentials")[:2] == ("open", True)
    assert 269 <= (rows.gate(of_app.id).retry_at - rows.gate(of_app.id).now) / SECOND <= 330
    assert rows.gate(of_app.id).cause == "app_credentials"
    assert eu.bad(n=5)[1] is True
    assert rows.gate(gate).state == "closed" and rows.gate(gate).failures == 0


# --- who may try


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_one_of_many_may_try(rows, gate, state):
    sessions = [rows.session("worker" if n % 2 else "refresher") for n in range(8)]
    for _ in range(5):
        rows.set("provider_state", gate, state=f"'{state}'", retry_at="now()")
        tries = at_once([lambda s=s: s.run("gate/try", gate, 45) for s in sessions])
        assert sorted(tries) == [[]] * 7 + [[(gate,)]]
        row = rows.gate(gate)
        assert row.state == "half_open" and 40 * SECOND < row.retry_at - row.now <= 45 * SECOND


def test_who_may_not_try(rows, gate, refresher):
    assert refresher.run("gate/try", gate, 45) == [], "it is closed: nobody needs to"
    for state in ("open", "half_open"):
        rows.set("provider_state", gate, state=f"'{state}'", retry_at="now() + interval '1 second'")
        assert refresher.run("gate/try", gate, 45) == []
    rows.set("provider_state", gate, retry_at="null")
    assert refresher.run("gate/try", gate, 45) == [(gate,)]


def test_a_try_that_waited_for_the_answer_of_another(rows, gate, notes, refresher):
    rows.set("provider_state", gate, state="'half_open'", retry_at="now()")
    with notes.session.transaction():
        notes.good()
        with behind(rows, refresher, lambda s: s.run("gate/try", gate, 45)) as future:
            notes.session.connection.cursor().execute("commit")
    assert future.result() == []


def test_changed_credentials_are_tried_at_once(rows, refresher):
    provider = rows.provider()
    app = rows.app(provider)
    refresher.run("gate/ensure", provider, "us", app)
    gate = rows.gate_of(provider, app=app)
    operator = rows.session("operator")

    def set_app():
        return operator.run("app/set", provider, None, "us", "id", b"sealed", 2, "https://x/", None, "{}")

    assert set_app() == [(app,)] and rows.gate(gate).state == "closed" and refresher.run("gate/mended") == []
    rows.set("provider_state", gate, state="'open'", retry_at="now() + interval '1 hour'")
    assert refresher.run("gate/mended") == []
    assert set_app() == [(app,)]
    assert refresher.run("gate/mended") == [(provider, "us", app)]


def test_a_gate_is_made_once(rows):
    provider = rows.provider()
    app = rows.app(provider)
    sessions = [rows.session("worker") for _ in range(6)]
    for key in ((provider, "us", None), (provider, "us", app)):
        at_once([lambda s=s: s.run("gate/ensure", *key) for s in sessions])
        sessions[0].run("gate/ensure", *key)
    found = rows.sql("select app_id, state, cause from vestal.provider_state where provider = %s order by app_id nulls first", provider)
    assert found == [(None, "closed", "provider_outage"), (app, "closed", "app_credentials")]


def test_where_a_connection_lives_is_known(rows):
    """Else nothing of it would ever be due."""
    (id,) = rows.add(token=False, next_refresh_at="null", last_generation="0")
    rows.sql("delete from vestal.provider_state")
    worker = rows.session("worker")
    with worker.transaction():
        worker.override(id)
    rows.set("connection", id, next_refresh_at="now()")
    assert rows.session("refresher").run("renewal/due", 10, None, None) == [(id,)]


# --- what waited


def test_what_waited_goes_on(rows, refresher):
    provider = rows.provider()
    soon = "now() + interval '10 minutes'"
    waiting = rows.add(200, provider=provider, deferred_by="'gate'", next_refresh_at=soon)
    over = rows.add(5, provider=provider, deferred_by="'gate'")
    others = {
        "for something else": rows.add(provider=provider, deferred_by="'rate'", next_refresh_at=soon),
        "elsewhere": rows.add(provider=provider, datacenter="eu", deferred_by="'gate'", next_refresh_at=soon),
        "at another provider": rows.add(deferred_by="'gate'", next_refresh_at=soon),
        "somebody's": rows.add(
            provider=provider, deferred_by="'gate'", next_refresh_at=soon, lease_owner="'a'", lease_until="now() + interval '1 minute'"),
        "with nothing to renew": rows.add(provider=provider, deferred_by="'gate'", next_refresh_at="null"),
    }
    before = {name: rows.connection(ids[0])._replace(now=None) for name, ids in others.items()}
    was = {id: rows.connection(id).next_refresh_at for id in over}
    counts = []
    while True:
        counts += refresher.run("gate/resume", provider, "us", None, 64, 15)[0]
        if counts[-1] < 64:
            break
    assert counts == [64, 64, 64, 13]
    moments = [rows.connection(id) for id in waiting]
    assert {row.deferred_by for row in moments} == {None}
    ahead = [(row.next_refresh_at - row.now) / SECOND for row in moments]
    assert -5 < min(ahead) < 3 and 10 < max(ahead) < 15 and len(set(ahead)) > 190, "not all at once"
    assert {id: rows.connection(id).next_refresh_at for id in over} == was, "what is due already does not wait again"
    assert {name: rows.connection(ids[0])._replace(now=None) for name, ids in others.items()} == before


def test_what_waited_for_an_app_goes_on(rows, refresher):
    provider = rows.provider()
    apps = [rows.app(provider), rows.app(provider, "eu")]
    ids = [rows.add(3, provider=provider, app_id=str(app), deferred_by="'gate'")[0] for app in apps]
    assert refresher.run("gate/resume", provider, "us", apps[0], 100, 15) == [(3,)]
    assert [rows.connection(id).deferred_by for id in ids] == [None, "gate"]


def test_going_on_waits_for_nobody(rows, refresher):
    provider = rows.provider()
    ids = rows.add(3, provider=provider, deferred_by="'gate'")
    worker = rows.session("worker")
    with worker.undone():
        worker.run("connection/lock", ids[1])
        assert refresher.run("gate/resume", provider, "us", None, 100, 15) == [(2,)]
    assert refresher.run("gate/resume", provider, "us", None, 100, 15) == [(1,)]


# --- deaths


def test_deaths_are_remembered_for_a_while(rows, gate, refresher):
    key = rows.gate(gate)[1:3]

    def deaths(n, window=300):
        return refresher.run("gate/death", *key, n, window)[0][0]

    assert [deaths(1), deaths(3), deaths(0)] == [1, 4, 4]
    rows.set("provider_state", gate, deaths="array[now() - interval '301 seconds', now() - interval '299 seconds'] || deaths")
    assert deaths(1) == 6
    assert deaths(0, window=0) == 0 and deaths(2) == 2
    assert deaths(1000) == 102 and deaths(1000) == 200, "as many as anybody could want to know"
    assert refresher.run("gate/death", "nobody", "us", 1, 300) == []


def test_deaths_seen_at_once_are_all_counted(rows, gate):
    key = rows.gate(gate)[1:3]
    sessions = [rows.session("worker") for _ in range(8)]
    counts = at_once([lambda s=s: s.run("gate/death", *key, 1, 300)[0][0] for s in sessions])
    assert sorted(counts) == list(range(1, 9))


def test_deaths_are_the_providers_and_not_an_apps(rows, gate, refresher):
    provider, datacenter = rows.gate(gate)[1:3]
    app = rows.app(provider)
    refresher.run("gate/ensure", provider, datacenter, app)
    refresher.run("gate/death", provider, datacenter, 2, 300)
    assert (len(rows.gate(gate).deaths), rows.gate(rows.gate_of(provider, app=app)).deaths) == (2, [])


# --- incidents


@pytest.mark.parametrize("role", ["worker", "refresher"])
def test_an_incident_of_a_gate(rows, gate, role):
    session = rows.session(role)
    [(id, is_new, _)] = session.run("incident/open_gate", gate, "provider_outage", "system:refresh", "http_503", 1800)
    assert is_new
    assert session.run("incident/open_gate", gate, "our_fault", "somebody", None, 1800) == [(id, False, 0)], "it goes on"
    assert rows.sql("select cause, opened_by, reason, state, connection_id from vestal.incident") == [
        ("provider_outage", "system:refresh", "http_503", "open", None)
    ]
    (connection,) = rows.add()
    [(other, *_)] = session.run("incident/open", connection, "user_revoked", "somebody", None, False, 1800)
    rows.set("incident", id, impact_start="now() - interval '90 seconds'")
    assert session.run("incident/resolve_gate", gate, "system:refresh") == [(id, 90, 0)]
    assert session.run("incident/resolve_gate", gate, "system:refresh") == []
    assert rows.sql("select id, state, resolved_by from vestal.incident order by id") == [
        (id, "resolved", "system:refresh"), (other, "open", None)]  # fmt: skip
    assert session.run("incident/open_gate", gate, "provider_outage", "system:refresh", None, 1800) == [(id, True, 1)], "it comes back"
    session.run("incident/resolve_gate", gate, "system:refresh")
    [(again, is_new, _)] = session.run("incident/open_gate", gate, "provider_outage", "system:refresh", None, 0)
    assert is_new and again not in (id, other)
    views = rows.sql("select id, client_id is null, provider is null from vestal.v_incident_ttr order by id")
    assert views == [(id, True, False), (other, False, False), (again, True, False)]


def test_an_incident_opens_once_for_all_who_see_it(rows, gate):
    sessions = [rows.session("worker") for _ in range(6)]
    opened = at_once([lambda s=s: s.run("incident/open_gate", gate, "provider_outage", "x", None, 1800)[0] for s in sessions])
    assert len({id for id, *_ in opened}) == 1 and sum(is_new for _, is_new, _ in opened) == 1


def test_incidents_that_have_no_reason_any_more(rows, gate, refresher):
    def quiet():
        return [row[0] for row in refresher.run("gate/quiet", 300)]

    row = rows.gate(gate)
    assert quiet() == [], "there is none"
    refresher.run("incident/open_gate", gate, "provider_outage", "system:refresh", None, 1800)
    assert refresher.run("gate/quiet", 300) == [(gate, row.provider, "us", None)]
    for state, expected in (("open", []), ("half_open", []), ("closed", [gate])):
        rows.set("provider_state", gate, state=f"'{state}'")
        assert quiet() == expected
    refresher.run("gate/death", row.provider, "us", 1, 300)
    assert quiet() == []
    rows.set("provider_state", gate, deaths="array[now() - interval '301 seconds']")
    assert quiet() == [gate]
    refresher.run("incident/resolve_gate", gate, "system:refresh")
    assert quiet() == []


@pytest.mark.parametrize("of", [{}, {"connection_id", "provider_state_id"}])
def test_an_incident_is_of_one_thing(rows, gate, of):
    (connection,) = rows.add()
    values = {"connection_id": connection, "provider_state_id": gate}
    with pytest.raises(psycopg2.errors.CheckViolation):
        rows.sql("insert into vestal.incident (connection_id, provider_state_id, cause, opened_by) values (%s, %s, 'none', 'x')",
                 *[values[name] if name in of else None for name in values])  # fmt: skip


# --- runs


def test_runs(rows, refresher):
    operator, worker = rows.session("operator"), rows.session("worker")
    assert operator.run("run/last") == []
    [(first,)] = refresher.run("run/begin", "host-a", "due")
    rows.set("refresh_run", first, started_at="now() - interval '70.5 seconds'")
    (id, host, mode, started, ended, code, age) = operator.run("run/last")[0]
    assert (id, host, mode, ended, code) == (first, "host-a", "due", None, None) and 70 <= age <= 75 and started.endswith("Z")
    refresher.run("run/end", first, 2, '{"renewed": 3}', "storage")
    assert rows.sql("select exit_code, counts->>'renewed', error, ended_at is not null from vestal.refresh_run") == [(2, "3", "storage", True)]
    assert worker.run("run/last")[0][5] == 2
    [(second,)] = refresher.run("run/begin", "host-b", "all")
    assert operator.run("run/last")[0][:3] == (second, "host-b", "all")
    with pytest.raises(psycopg2.errors.CheckViolation):
        refresher.run("run/begin", "host", "sometimes")


def test_runs_are_forgotten(rows, refresher):
    ids = [refresher.run("run/begin", "host", "due")[0][0] for _ in range(3)]
    rows.set("refresh_run", ids[0], started_at="now() - interval '30 days 1 second'")
    rows.set("refresh_run", ids[1], started_at="now() - interval '29 days 23 hours'")
    refresher.run("run/prune", 30)
    assert rows.sql("select id from vestal.refresh_run order by 1") == [(ids[1],), (ids[2],)]


# --- health


def report(rows, id):
    row = rows.report(id)
    return row.status, row.cause, row.action, row.owner


HEALTHY = ("healthy", "none", "none", "none")
UNREACHABLE = ("unreachable", "provider_outage", "wait", "provider")
SOON, PAST = "now() + interval '1 hour'", "now() - interval '1 minute'"


def shut(rows, provider, state="open", app=None):
    rows.session("worker").run("gate/ensure", provider, "us", app)
    rows.set("provider_state", rows.gate_of(provider, app=app), state=f"'{state}'", retry_at=SOON)


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_a_shut_provider_is_said_of_those_whose_turn_has_come(rows, state):
    provider = rows.provider()
    cases = {
        "due": ({}, UNREACHABLE),
        "later": ({"next_refresh_at": SOON}, HEALTHY),
        "never": ({"next_refresh_at": "null", "overdue_at": "null"}, HEALTHY),
        "expired": ({"token": {"expires_at": PAST}}, ("expired", "provider_outage", "wait", "provider")),
        "overdue": ({"overdue_at": PAST}, UNREACHABLE),
        "refused once": ({"cause": "'ambiguous_refusal'"}, HEALTHY[:1] + ("ambiguous_refusal",) + HEALTHY[2:]),
        "dead": ({"state": "'invalid'", "cause": "'user_revoked'"}, ("invalid", "user_revoked", "reauthorize", "tenant")),
        "missing": ({"token": False, "state": "'missing'", "cause": "'never_connected'"}, ("missing", "never_connected", "reauthorize", "administrator")),
    }  # fmt: skip
    ids = {name: rows.add(provider=provider, **columns)[0] for name, (columns, _) in cases.items()}
    elsewhere = rows.add(provider=provider, datacenter="eu")[0]
    before = {name: report(rows, id) for name, id in ids.items()}
    assert before["due"] == HEALTHY and before["expired"] == ("expired", "none", "wait", "operator")
    shut(rows, provider, state)
    assert {name: report(rows, id) for name, id in ids.items()} == {name: wanted for name, (_, wanted) in cases.items()}
    assert report(rows, elsewhere) == HEALTHY
    rows.set("provider_state", rows.gate_of(provider), state="'closed'")
    assert {name: report(rows, id) for name, id in ids.items()} == before


def test_a_shut_app_is_said_of_all_its_connections(rows):
    provider = rows.provider()
    app, other = rows.app(provider), rows.app(provider, "eu")
    mend = ("app_credentials", "fix_app", "operator")
    cases = {
        "due": ({}, ("expiring", *mend)),
        "later": ({"next_refresh_at": SOON}, ("expiring", *mend)),
        "never": ({"next_refresh_at": "null", "overdue_at": "null"}, ("expiring", *mend)),
        "expired": ({"token": {"expires_at": PAST}}, ("expired", *mend)),
        "dead": ({"state": "'invalid'", "cause": "'user_revoked'"}, ("invalid", *mend)),
        "missing": ({"token": False, "state": "'missing'", "cause": "'never_connected'"}, ("missing", "never_connected", "reauthorize", "administrator")),
    }  # fmt: skip
    ids = {name: rows.add(provider=provider, app_id=str(app), **columns)[0] for name, (columns, _) in cases.items()}
    bystanders = [rows.add(provider=provider, app_id=str(other))[0], rows.add(provider=provider)[0]]
    shut(rows, provider, app=app)
    assert {name: report(rows, id) for name, id in ids.items()} == {name: wanted for name, (_, wanted) in cases.items()}
    assert "healthy" not in {report(rows, id)[0] for id in ids.values()}
    assert [report(rows, id) for id in bystanders] == [HEALTHY] * 2
    shut(rows, provider)
    assert report(rows, ids["due"])[1] == "app_credentials", "what a person has to mend goes first"


@pytest.mark.parametrize(("token", "wanted"), [
    ({"expires_at": PAST}, ("expired", "none", "wait", "operator")),
    ({"expires_at": PAST, "refresh_sealed": "null", "refresh_fingerprint": "null"}, ("expired", "none", "reauthorize", "administrator")),
    ({"refresh_sealed": "null", "refresh_fingerprint": "null"}, HEALTHY),
    ({"grant_ends_at": "now() + interval '6 days'"}, ("expiring", "none", "reauthorize", "administrator")),
    ({"idle_ends_at": "now() + interval '6 days'"}, ("expiring", "none", "reauthorize", "administrator")),
    ({"grant_ends_at": "now() + interval '8 days'"}, HEALTHY),
])  # fmt: skip
def test_what_helps(rows, token, wanted):
    (id,) = rows.add(token=token)
    assert report(rows, id) == wanted
