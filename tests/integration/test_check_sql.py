"""The statements of a check, and what the view makes of what they wrote, row by row."""

import json

import pytest
from rows import laid_out


@pytest.fixture(scope="module")
def rows(stack):
    with laid_out(stack) as made:
        yield made


@pytest.fixture(params=["worker", "refresher"])
def session(rows, request):
    yield rows.session(request.param)
    rows.close()
    rows.empty()


def finding(id, **changes):
    good = {"id": id, "generation": 5, "says": True, "alive": True, "dead": False, "found": None, "code": None, "scope_is_whole": True}
    return good | changes


def bad(id, cause, **changes):
    return finding(id, **({"alive": False, "found": cause, "code": "a_word"} | changes))


def note(session, *findings):
    session.run("check/note", json.dumps(findings))


def verdict(rows, id):
    report = rows.report(id)
    return report.status, report.cause, report.action, report.owner


def test_whom_no_check_came_by_for_longest_is_first(rows, session):
    old, never, new = (rows.add(checked_at=at)[0] for at in ("now() - interval '2 days'", "null", "now()"))
    gone = rows.add(removed_at="now()")[0]
    assert [id for (id,) in session.run("check/find", None, None, 10)] == [never, old, new] and gone
    assert [id for (id,) in session.run("check/find", None, None, 1)] == [never]
    client, provider = rows.connection(old).client_id, rows.connection(new).provider
    assert session.run("check/find", [client], None, 10) == [(old,)]
    assert session.run("check/find", None, [provider], 10) == [(new,)]
    assert session.run("check/find", [client], [provider], 10) == []
    assert session.run("check/find", [], None, 10) == []
    note(session, finding(never, says=False, alive=False))
    assert [id for (id,) in session.run("check/find", None, None, 10)] == [old, new, never]


def test_a_proof_is_dated_and_says_nothing_else(rows, session):
    (id,) = rows.add(last_proved_at="now() - interval '3 days'", found="'our_fault'", found_at="now()", found_generation="5")
    before = rows.connection(id)
    note(session, finding(id))
    row = rows.connection(id)
    assert row.last_proved_at == row.found_at == row.checked_at > before.last_proved_at and row.found is None
    assert (row.state, row.cause, row.next_refresh_at, row.failures) == (before.state, before.cause, before.next_refresh_at, before.failures)
    assert verdict(rows, id) == ("healthy", "none", "none", "none")


def test_a_finding_of_a_token_that_was_replaced_says_nothing(rows, session):
    (id,) = rows.add()
    before = rows.connection(id)
    for said in (bad(id, "our_fault", generation=4), finding(id, generation=4), finding(id, generation=None)):
        note(session, said)
        row = rows.connection(id)
        assert (row.found, row.last_proved_at, row.last_error_code) == (None, before.last_proved_at, None) and row.checked_at
    note(session, bad(id, "ambiguous_refusal", generation=4, dead=True))
    assert rows.connection(id).state == "live"


def test_what_says_nothing_leaves_what_is_known(rows, session):
    (id,) = rows.add(found="'our_fault'", found_at="now() - interval '1 hour'", found_generation="5", last_error_code="'before'")
    before = rows.connection(id)
    note(session, bad(id, None, says=False))
    row = rows.connection(id)
    assert (row.found, row.found_at, row.last_error_code) == ("our_fault", before.found_at, "before") and row.checked_at


@pytest.mark.parametrize("columns, said, mended", [
    ({"cause": "'provider_outage'", "failures": "3"}, {}, True),
    ({"cause": "'provider_outage'", "failures": "3"}, {"found": "scope_missing"}, True),
    ({"cause": "'our_fault'", "failures": "0"}, {}, True),
    ({"cause": "'our_fault'", "failures": "10"}, {}, False),
    ({"cause": "'scope_missing'"}, {}, True),
    ({"cause": "'scope_missing'"}, {"scope_is_whole": False}, False),
    ({"cause": "'scope_missing'"}, {"found": "scope_missing"}, False),
    ({"cause": "'ambiguous_refusal'", "refusals": "1"}, {}, False),
    ({"cause": "'rate_limited'", "failures": "1"}, {}, False),
    ({"cause": "'provider_outage'", "failures": "3"}, {"alive": False, "found": "our_fault"}, False)])  # fmt: skip
def test_what_a_proof_mends(rows, session, columns, said, mended):
    (id,) = rows.add(**columns)
    note(session, finding(id, **said))
    assert (rows.connection(id).cause == "none") is mended
    assert rows.connection(id).failures == int(columns.get("failures", "0")), "that a renewal failed is not forgotten over it"


def test_what_waited_for_a_provider_that_answers_is_due(rows, session):
    later = "now() + interval '10 minutes'"
    away, rate, gate = (rows.add(cause=f"'{cause}'", deferred_by=f"'{by}'", next_refresh_at=later)[0]
                        for cause, by in (("provider_outage", "backoff"), ("rate_limited", "rate"), ("none", "gate")))  # fmt: skip
    note(session, *(finding(id) for id in (away, rate, gate)))
    row = rows.connection(away)
    assert row.deferred_by is None and row.next_refresh_at <= row.now
    for id, by in ((rate, "rate"), (gate, "gate")):
        row = rows.connection(id)
        assert row.deferred_by == by and row.next_refresh_at > row.now, "patience that was asked for stays"


def test_what_nothing_can_renew_dies(rows, session):
    (id,) = rows.add(token={"refresh_sealed": "null", "refresh_fingerprint": "null"}, next_refresh_at="null")
    for _ in range(2):
        note(session, bad(id, "ambiguous_refusal", dead=True))
        assert verdict(rows, id) == ("expired", "ambiguous_refusal", "wait", "provider")
    rows.set("connection", id, found_at="now() - interval '11 minutes'")
    note(session, bad(id, "ambiguous_refusal", dead=True))
    assert verdict(rows, id) == ("invalid", "user_revoked", "reauthorize", "tenant")


# --- how long a finding counts


@pytest.mark.parametrize("cause, after_renewal", [
    ("our_fault", ("unreachable", "our_fault", "investigate", "operator")),
    ("scope_missing", ("healthy", "scope_missing", "ask_tenant", "tenant")),
    ("app_credentials", ("healthy", "none", "none", "none")),
    ("provider_outage", ("healthy", "none", "none", "none")),
    ("ambiguous_refusal", ("healthy", "none", "none", "none"))])  # fmt: skip
def test_a_renewal_mends_what_it_proves(rows, session, cause, after_renewal):
    (id,) = rows.add()
    note(session, bad(id, cause, alive=cause == "scope_missing"))
    assert verdict(rows, id)[1] == cause
    rows.set("connection", id, last_refreshed_at="now()", last_generation="6")
    rows.set("token", id, generation="6")
    assert verdict(rows, id) == after_renewal
    rows.set("token", id, granted_at="now()")
    assert verdict(rows, id) == ("healthy", "none", "none", "none"), "another grant is another matter"


def test_what_a_renewal_says_comes_first(rows, session):
    (id,) = rows.add(state="'invalid'", cause="'user_revoked'")
    note(session, bad(id, "our_fault"))
    assert verdict(rows, id) == ("invalid", "user_revoked", "reauthorize", "tenant")
    (id,) = rows.add(cause="'ambiguous_refusal'", refusals="1")
    note(session, bad(id, "our_fault"))
    assert verdict(rows, id)[1] == "ambiguous_refusal"


def test_a_shut_app_speaks_for_what_was_found(rows, session):
    provider = rows.provider()
    app = rows.app(provider)
    (id,) = rows.add(provider=provider, app_id=str(app))
    rows.sql("insert into vestal.provider_state (provider, datacenter, app_id, state, cause, retry_at)"
             " values (%s, 'us', %s, 'open', 'app_credentials', now() + interval '1 minute')", provider, app)  # fmt: skip
    note(session, bad(id, "our_fault"))
    assert verdict(rows, id) == ("expiring", "app_credentials", "fix_app", "operator")
    (row,) = session.run("check/take", [id])
    assert row[14:16] == ("app_credentials", False)


# --- incidents


def test_an_incident_waits_for_health_and_no_renewal_alone(rows, session):
    (id,) = rows.add()
    ((incident, is_new, *_),) = session.run("incident/open", id, "our_fault", "somebody", None, False, 1800)
    note(session, bad(id, "our_fault"))
    assert is_new and session.run("incident/resolve", [id], "somebody") == []
    note(session, finding(id))
    assert [row[:2] for row in session.run("incident/resolve", [id], "somebody")] == [(id, incident)]


def test_a_new_grant_that_is_short_is_no_trouble(rows, session):
    ends = {"idle_ends_at": "now() + interval '1 day'"}
    old, new = rows.add(token=ends)[0], rows.add(token=ends | {"granted_at": "now()"})[0]
    for id in (old, new):
        session.run("incident/open", id, "none", "somebody", None, False, 1800)
    assert [row[0] for row in session.run("incident/resolve", [old, new], "somebody")] == [new]


# --- what ends before long


def test_ends(rows):
    session = rows.session("operator")
    (id,) = rows.add(token={"grant_ends_at": "now() + interval '6 days'", "idle_ends_at": "now() + interval '8 days'"})
    rows.add(state="'invalid'", cause="'user_revoked'", token={"grant_ends_at": "now()"})
    rows.add(removed_at="now()", token={"grant_ends_at": "now()"})
    client, provider = rows.connection(id).client_id, rows.connection(id).provider
    app = rows.app(provider)
    rows.set("app", app, secret_ends_on="current_date - 1")
    told = session.run("forecast/ends", None, None)
    assert [row[:3] for row in told] == [("secret", None, provider), ("grant", client, provider)]
    assert told[0][5] < 0 and 5 * 86400 < told[1][5] < 6 * 86400 + 1
    assert [row[0] for row in session.run("forecast/ends", client, provider)] == ["secret", "grant"]
    assert [row[0] for row in session.run("forecast/ends", "somebody-else", provider)] == ["secret"]
    assert session.run("forecast/ends", None, "another") == []
    rows.close()
    rows.empty()
