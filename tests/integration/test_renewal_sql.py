"""The statements of a renewal (sql/queries/renewal) against a real database under their own roles: what everything that
Vestal promises of renewals rests on. Who may claim what, and that it is one at a time; that nothing is ever stored over
something newer, whoever waits for whom; what is due, in which order, and at what price."""

import itertools
import json
import random
from collections import Counter
from datetime import timedelta

import pytest
from harness import LONG
from psycopg2.extras import execute_values
from rows import LEASE_S, Ear, at_once, behind, failure, laid_out, renewal

SECOND = timedelta(seconds=1)
WHYS = ("due", "all", "read", "rejected", "admin")


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
def worker(rows):
    return rows.session("worker")


@pytest.fixture
def claimed(rows, refresher):
    """A claim of a connection that is due."""
    return refresher.claim(rows.add())[0]


# --- claims


def test_a_claim_is_exclusive(rows):
    """Eight sessions at once want the same connections in pieces and orders of their own: each connection goes to one,
    and its fence rises by one; again when the leases are over."""
    ids = rows.add(400)
    sessions = [rows.session("worker" if n % 2 else "refresher") for n in range(8)]

    def hunt(session):
        mine = random.sample(ids, len(ids))
        pieces = [mine[at : at + 16] for at in range(0, len(mine), 16)]
        return [(c.id, c.fence) for piece in pieces for c in session.claim(piece, owner=f"spool-{id(session)}")]

    for fence in (1, 2, 3):
        won = at_once([lambda session=session: hunt(session) for session in sessions])
        assert sorted(itertools.chain(*won)) == [(id, fence) for id in ids]
        assert sum(bool(claims) for claims in won) > 1, "they did not meet"
        owners = rows.sql("select lease_owner, count(*) from vestal.connection group by 1")
        assert dict(owners) == {f"spool-{id(s)}": len(claims) for s, claims in zip(sessions, won) if claims}
        rows.sql("update vestal.connection set lease_until = now()")


CHOICES = {
    "state": ("live", "quarantined", "invalid"),
    "deferred_by": (None, "backoff", "gate", "quota", "rate", "refusal"),
    "next_in": (-60, 600),
    "tried_ago": (None, 10, 31),
    "lease_left": (None, -1, 60),
    "failures": (0, 2),
}


def may_be_claimed(why, state, deferred_by, next_in, tried_ago, lease_left, failures):
    if lease_left == 60:
        return False
    if why == "due" and next_in > 0:
        return False
    if why != "due" and next_in > 0 and deferred_by in ("quota", "rate", "refusal"):
        return False
    if why in ("read", "rejected", "admin") and state != "live":
        return False
    if tried_ago == 10:  # at most once in 30 s, for callers that come in crowds
        return why != "read" and not (why == "rejected" and failures)
    return True


def test_what_may_be_claimed(rows, refresher):
    cases = list(itertools.product(*CHOICES.values()))
    ids = rows.add(len(cases))
    with rows.admin.cursor() as cursor:
        execute_values(
            cursor,
            "update vestal.connection c set state = v.state, deferred_by = v.deferred_by, failures = v.failures,"
            " next_refresh_at = now() + make_interval(secs => v.next_in), tried_at = now() - make_interval(secs => v.tried_ago),"
            " lease_until = now() + make_interval(secs => v.lease_left), lease_owner = case when v.lease_left is not null then 'other' end"
            " from (values %s) v (id, state, deferred_by, next_in, tried_ago, lease_left, failures) where c.id = v.id",
            [(id, *case) for id, case in zip(ids, cases)],
            template="(%s, %s, %s::text, %s::int, %s::int, %s::int, %s::int)",
            page_size=len(cases),
        )
    assert len(cases) == 648
    for why in WHYS:
        wanted = {id for id, case in zip(ids, cases) if may_be_claimed(why, *case)}
        assert 0 < len(wanted) < len(ids)
        for generation, expected in ((None, wanted), (5, wanted), (6, set()), (4, set())):
            with refresher.undone():
                claims = refresher.claim(ids, why=why, generation=generation)
                assert {claim.id for claim in claims} == expected, (why, generation)
                assert len(claims) == len(expected)


NEVER = {
    "passive": ({"passive": "true"}, True),
    "taken away": ({"removed_at": "now()"}, True),
    "nothing to renew": ({"next_refresh_at": "null"}, True),
    "no token": ({}, False),
    "no refresh token": ({}, {"refresh_sealed": "null", "refresh_fingerprint": "null"}),
}


@pytest.mark.parametrize("case", NEVER)
@pytest.mark.parametrize("why", WHYS)
def test_what_is_never_claimed(rows, refresher, why, case):
    columns, token = NEVER[case]
    ids = rows.add(token=token, **columns)
    before = rows.connection(ids[0])
    assert refresher.claim(ids, why=why) == []
    assert rows.connection(ids[0])._replace(now=None) == before._replace(now=None)
    assert len(refresher.claim(rows.add(), why=why)) == 1, "the same without it"


def test_what_a_claim_does(rows, refresher):
    (id,) = rows.add(fence="7", mints="array[now() - interval '600 seconds', now() - interval '12.7 seconds']")
    (claim,) = refresher.claim([id], owner="spool-a", lease_s=45)
    row = rows.connection(id)
    assert (claim.fence, row.fence, row.lease_owner) == (8, 8, "spool-a")
    assert row.lease_until - row.tried_at == 45 * SECOND and abs(row.now - row.tried_at) < 5 * SECOND
    assert row.mints[2] == row.tried_at and len(row.mints) == 3
    assert rows.sql("select %s::timestamptz", claim.at) == [(row.tried_at,)], "to the microsecond"
    assert refresher.claim([id]) == []


def test_what_a_claim_tells(rows, refresher):
    """Every column of it, by a connection with a value of its own in each."""
    provider = rows.provider()
    app = rows.app(provider)
    (id,) = rows.add(
        provider=provider, app_id=str(app), api_domain="'https://api.us/'", scope="'a b'", last_generation="9", fence="3",
        state="'quarantined'", cause="'ambiguous_rotation'", failures="4", refusals="2", ambiguous_at="now()",
        token={"generation": "8", "refresh_sealed": "'\\x0102'"},
        mints="array[now() - interval '500.9 seconds', now() - interval '12.2 seconds']")  # fmt: skip
    rows.sql("insert into vestal.provider_state (provider, datacenter, app_id, state, retry_at) values (%s, 'us', %s, 'half_open', now() + interval '90.5 seconds')", provider, app)  # fmt: skip
    rows.sql("update vestal.provider_state set state = 'open', retry_at = now() + interval '30.5 seconds', version = 'v1' where provider = %s and app_id is null", provider)  # fmt: skip
    (claim,) = refresher.claim([id])
    client = rows.connection(id).client_id
    assert claim._replace(at=None, refresh=bytes(claim.refresh)) == (
        id, client, provider, "us", app, "https://api.us/", "a b", 4, 9, 8, b"\x01\x02", "quarantined", "ambiguous_rotation", 4, 2,
        True, False, True, None, "{500,12}", rows.gate_of(provider), "open", 30, "v1", rows.gate_of(provider, app=app),
        "half_open", 90)  # fmt: skip


def test_what_a_claim_tells_without(rows, refresher):
    (id,) = rows.add()
    rows.sql("delete from vestal.provider_state")
    (claim,) = refresher.claim([id])
    assert claim[20:] == (None,) * 7 and (claim.app, claim.api_domain, claim.scope) == (None,) * 3
    assert (claim.is_ambiguous, claim.mint_ages) == (False, "{}")


@pytest.mark.parametrize(("grant_ends", "idle_ends", "expires", "is_over", "lives"), [
    ("null", "null", "null", False, True),
    ("now() + interval '1 minute'", "now() + interval '1 minute'", "now() + interval '1 minute'", False, True),
    ("now()", "now() + interval '1 minute'", "now()", True, False),
    ("null", "now()", "null", True, True),
    ("now()", "null", "now() - interval '1 day'", True, False),
])  # fmt: skip
def test_whether_it_still_makes_sense(rows, refresher, worker, grant_ends, idle_ends, expires, is_over, lives):
    (id,) = rows.add(token={"grant_ends_at": grant_ends, "idle_ends_at": idle_ends, "expires_at": expires})
    assert worker.run("renewal/left", id)[0][8:10] == (is_over, lives)
    (claim,) = refresher.claim([id])
    assert (claim.grant_is_over, claim.access_lives) == (is_over, lives)


def test_mints_are_the_newest_32(rows, refresher):
    (id,) = rows.add()
    seen = []
    for n in range(35):
        rows.set("connection", id, lease_until="null", mints="array(select m - interval '1 hour' from unnest(mints) m)")
        (claim,) = refresher.claim([id])
        seen.append(claim.mint_ages)
    assert seen[:3] == ["{}", "{3600}", "{7200,3600}"]
    assert [text.count(",") + 1 for text in seen[1:]] == [*range(1, 32), 31, 31, 31]
    assert len(rows.connection(id).mints) == 32


def test_claims_come_in_the_order_asked_for(rows, refresher):
    ids = random.sample(rows.add(40), 40)
    assert [claim.id for claim in refresher.claim(ids)] == ids


def test_a_claim_that_waited_sees_the_renewed_token(rows, refresher, worker):
    """The refresh token of before may be spent: to send it could cost the grant."""
    claim = refresher.claim(rows.add())[0]
    rows.set("connection", claim.id, lease_until="now()")
    with refresher.transaction():
        assert refresher.renewed(renewal(claim, refresh="4ef1")) == [(claim.id, "renewed")]
        with behind(rows, worker, lambda s: s.claim([claim.id], why="admin")) as future:
            refresher.connection.cursor().execute("commit")
    (late,) = future.result()
    assert (late.generation, late.last_generation, bytes(late.refresh)) == (6, 6, b"\x4e\xf1")
    assert late.fence == 2


def test_a_claim_that_waited_for_a_renewal_that_came_back(rows, refresher, worker):
    """Which token is meant is looked at again."""
    claims = refresher.claim(rows.add(2))
    rows.sql("update vestal.connection set lease_until = now(), tried_at = now() - interval '1 minute'")
    with refresher.transaction():
        refresher.renewed(*[renewal(claim) for claim in claims])
        calls = [
            lambda s: s.claim([claims[0].id], why="rejected", generation=5),
            lambda s: s.claim([claims[1].id], why="read", generation=5),
        ]
        with behind(rows, worker, calls[0]) as first, behind(rows, rows.session("worker"), calls[1]) as second:
            refresher.connection.cursor().execute("commit")
    assert [future.result() for future in (first, second)] == [[], []]


def test_a_claim_that_waited_for_an_override(rows, worker):
    """It gets the person's token, or nothing; never what was there before."""
    (id,) = rows.add()
    with worker.transaction():
        worker.override(id)
        with behind(rows, rows.session("refresher"), lambda s: s.claim([id], why="admin")) as future:
            worker.connection.cursor().execute("commit")
    assert [(c.generation, bytes(c.refresh)) for c in future.result()] in ([], [(6, b"refresh of a person")])
    (later,) = rows.session("refresher").claim([id], why="admin")
    assert (later.generation, bytes(later.refresh)) == (6, b"refresh of a person")


# --- renewed


def test_a_renewed_token(rows, refresher, claimed):
    ear = Ear(rows)
    rows.set("connection", claimed.id, failures="3", refusals="1", ambiguous_at="now()", deferred_by="'backoff'", state="'quarantined'")
    before = rows.token(claimed.id)
    sent = renewal(claimed, access="00ff", refresh="0102", type="bearer", life=1800, refresh_life=86400, why="read")
    assert refresher.renewed(sent) == [(claimed.id, "renewed")]
    token, row = rows.token(claimed.id), rows.connection(claimed.id)
    assert (token.generation, bytes(token.access_sealed), bytes(token.refresh_sealed)) == (6, b"\x00\xff", b"\x01\x02")
    assert (token.access_fingerprint, token.refresh_fingerprint, token.token_type) == ("fp-6", "fp-refresh-6", "bearer")
    assert token.issued_at == row.tried_at, "its life counts from before the provider was asked"
    assert token.expires_at - token.issued_at == 1800 * SECOND and token.grant_ends_at - token.issued_at == 86400 * SECOND
    assert token.idle_ends_at is None and token.granted_at == before.granted_at
    assert (row.last_generation, row.state, row.cause, row.failures, row.refusals) == (6, "live", "none", 0, 0)
    assert (row.ambiguous_at, row.deferred_by, row.lease_owner, row.lease_until) == (None,) * 4
    assert row.undistributed and row.last_refreshed_at == row.last_proved_at >= row.tried_at
    assert (row.fence, len(row.mints)) == (1, 1)
    (event,) = rows.events(claimed.id)
    assert (event.action, event.outcome, event.generation, event.fingerprint) == ("token.renewed", "ok", 6, "fp-6")
    assert (event.host, event.program, event.request_id, event.run_id) == ("host", "program", "request", "run")
    assert (event.actor, event.actor_auth, event.address) == ("system:refresh", "cron", None)
    assert (event.client_id, event.provider) == (row.client_id, row.provider)
    assert event.detail == {"why": "read", "attempt": 1}
    told = [("vestal_token", {"clientId": row.client_id, "provider": row.provider, "generation": 6})]
    assert [(channel, json.loads(payload)) for channel, payload in ear.heard()] == told
    assert rows.sql("select count(*) from vestal.token_history where connection_id = %s", claimed.id) == [(0,)]


def test_hundreds_at_a_time_each_by_its_own(rows, refresher):
    """One answer that is late spoils nothing of the others; ids in any order."""
    claims = refresher.claim(rows.add(256))
    gone, late = claims[7], claims[100]
    rows.set("token", late.id, generation="6", access_fingerprint="'other'")
    rows.set("connection", late.id, last_generation="6")
    answers = random.sample([renewal(c, access=f"{c.id:08x}", margin=c.id) for c in claims], len(claims))
    answers[0]["id"], missing = 2**60, answers[0]["id"]
    if missing == late.id:
        late = gone
    what = dict(refresher.renewed(*answers))
    assert what == {c.id: "superseded" if c.id == late.id and missing != late.id else "renewed" for c in claims if c.id != missing}
    for claim in claims:
        if claim.id not in (missing, late.id):
            token = rows.token(claim.id)
            assert (token.generation, bytes(token.access_sealed)) == (6, claim.id.to_bytes(4, "big"))


def test_the_same_twice(rows, refresher, claimed):
    """What a spool still holds after a crash is stored again, and nothing happens."""
    answer = renewal(claimed)
    assert refresher.renewed(answer) == [(claimed.id, "renewed")]
    before = rows.token(claimed.id)._replace(now=None), rows.connection(claimed.id)._replace(now=None)
    ear = Ear(rows)
    for _ in range(2):
        assert refresher.renewed(answer) == [(claimed.id, "repeated")]
    assert (rows.token(claimed.id)._replace(now=None), rows.connection(claimed.id)._replace(now=None)) == before
    assert len(rows.events(claimed.id)) == 1 and ear.heard() == []


def test_the_same_twice_at_once(rows, refresher, worker, claimed):
    """A statement whose answer got lost is sent again while the first still runs."""
    answer = renewal(claimed)
    with refresher.transaction():
        assert refresher.renewed(answer) == [(claimed.id, "renewed")]
        with behind(rows, worker, lambda s: s.renewed(answer)) as future:
            refresher.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, "repeated")]
    assert [event.action for event in rows.events(claimed.id)] == ["token.renewed"]


def test_two_answers_over_one_generation(rows, refresher, worker, claimed):
    with refresher.transaction():
        assert refresher.renewed(renewal(claimed)) == [(claimed.id, "renewed")]
        with behind(rows, worker, lambda s: s.renewed(renewal(claimed, access="0bad", access_fp="fp-other"))) as future:
            refresher.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, "superseded")]
    assert rows.token(claimed.id).access_fingerprint == "fp-6"
    assert [(e.action, e.fingerprint) for e in rows.events(claimed.id)] == [("token.renewed", "fp-6"), ("token.superseded", "fp-other")]


def assert_overridden(rows, id, generation):
    """The person's token is there, as it was stored, and its schedule."""
    token, row = rows.token(id), rows.connection(id)
    assert (token.generation, bytes(token.access_sealed), bytes(token.refresh_sealed)) == (generation, b"access of a person", b"refresh of a person")
    assert (row.last_generation, row.state, row.cause, row.failures) == (generation, "live", "none", 0)
    assert 50 * 60 * SECOND - 61 * SECOND <= row.next_refresh_at - token.issued_at <= 50 * 60 * SECOND
    assert row.lease_owner is None, "nobody renews it any more"


def assert_superseded(rows, id):
    (event,) = rows.events(id)
    assert (event.action, event.outcome, event.generation, event.fingerprint) == ("token.superseded", "ok", 6, "fp-6")


def test_an_override_before_the_answer(rows, refresher, worker, claimed):
    with worker.transaction():
        worker.override(claimed.id)
    ear = Ear(rows)
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "superseded")]
    assert_overridden(rows, claimed.id, 6)
    assert_superseded(rows, claimed.id)
    assert ear.heard() == []


def test_an_override_that_the_answer_waits_for(rows, refresher, worker, claimed):
    with worker.transaction():
        worker.override(claimed.id)
        with behind(rows, refresher, lambda s: s.renewed(renewal(claimed))) as future:
            worker.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, "superseded")]
    assert_overridden(rows, claimed.id, 6)
    assert_superseded(rows, claimed.id)


def test_an_override_that_holds_its_row_first(rows, refresher, worker, claimed):
    """It has the lock and changed nothing yet when the answer comes."""
    with worker.transaction():
        worker.run("connection/lock", claimed.id)
        with behind(rows, refresher, lambda s: s.renewed(renewal(claimed))) as future:
            worker.override(claimed.id)
            worker.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, "superseded")]
    assert_overridden(rows, claimed.id, 6)


def test_an_override_that_came_to_nothing(rows, refresher, worker, claimed):
    with worker.undone():
        worker.override(claimed.id)
        with behind(rows, refresher, lambda s: s.renewed(renewal(claimed))) as future:
            worker.connection.cursor().execute("rollback")
    assert future.result() == [(claimed.id, "renewed")]
    assert rows.token(claimed.id).access_fingerprint == "fp-6"


def test_an_override_after_the_answer(rows, refresher, worker, claimed):
    """And one that waits for it: it takes the renewed token out, not the one of before."""
    with refresher.transaction():
        assert refresher.renewed(renewal(claimed)) == [(claimed.id, "renewed")]

        def override(session):
            with session.transaction():
                session.override(claimed.id)

        with behind(rows, worker, override) as future:
            refresher.connection.cursor().execute("commit")
    assert future.result() is None
    assert_overridden(rows, claimed.id, 7)
    assert rows.sql("select generation from vestal.token_history where connection_id = %s", claimed.id) == [(6,)]
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "superseded")], "as late as this"
    assert_overridden(rows, claimed.id, 7)


@pytest.mark.parametrize("meanwhile", ["removed", "taken away", "gone"])
def test_nothing_is_there_any_more(rows, refresher, worker, claimed, meanwhile):
    if meanwhile == "removed":
        worker.run("token/retire", claimed.id, "removed", "person", None)
        worker.run("connection/emptied", claimed.id, "removed")
    elif meanwhile == "taken away":
        rows.set("connection", claimed.id, removed_at="now()")
    else:
        rows.sql("delete from vestal.token; delete from vestal.connection")
    assert refresher.renewed(renewal(claimed)) == ([] if meanwhile == "gone" else [(claimed.id, "superseded")])
    token, row = rows.token(claimed.id), rows.connection(claimed.id)
    if meanwhile == "removed":
        assert token is None and (row.state, row.next_refresh_at, row.lease_owner) == ("missing", None, None)
    if meanwhile == "taken away":
        assert (token.generation, row.lease_owner) == (5, None)


def test_a_lease_that_somebody_took_over_stays(rows, refresher, worker, claimed):
    """A slow answer is stored, because its token is the newest there is; the one who took over finds that out by his."""
    rows.set("connection", claimed.id, lease_until="now()")
    (second,) = worker.claim([claimed.id], owner="other")
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "renewed")]
    row = rows.connection(claimed.id)
    assert (row.lease_owner, row.fence) == ("other", 2) and row.lease_until > row.now
    assert worker.failed(failure(second, state="invalid", cause="user_revoked", wait_s=None)) == [(claimed.id, False)]
    row = rows.connection(claimed.id)
    assert (row.state, row.cause, row.lease_owner, row.failures) == ("live", "none", None, 0) and row.next_refresh_at > row.now


def test_a_superseded_answer_leaves_the_lease_of_another(rows, refresher, worker, claimed):
    with worker.transaction():
        worker.override(claimed.id)
    rows.set("connection", claimed.id, lease_until="now()")
    (second,) = worker.claim([claimed.id], owner="other", why="admin")
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "superseded")]
    row = rows.connection(claimed.id)
    assert (row.lease_owner, row.fence) == ("other", 2) and row.lease_until > row.now
    assert worker.renewed(renewal(second)) == [(claimed.id, "renewed")]
    assert rows.connection(claimed.id).lease_owner is None


def test_an_answer_that_waited_for_another_claim(rows, refresher, worker, claimed):
    rows.set("connection", claimed.id, lease_until="now()")
    with worker.transaction():
        assert len(worker.claim([claimed.id], owner="other")) == 1
        with behind(rows, refresher, lambda s: s.renewed(renewal(claimed))) as future:
            worker.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, "renewed")]
    assert rows.connection(claimed.id).lease_owner == "other" and rows.token(claimed.id).generation == 6


def test_a_generation_is_never_used_twice(rows, refresher, claimed):
    """The counter went on without this token, as after a removal that was undone: 6 was something else."""
    rows.set("connection", claimed.id, last_generation="6")
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "superseded")]
    assert rows.token(claimed.id).generation == 5
    assert refresher.renewed(renewal(claimed, to=7)) == [(claimed.id, "renewed")]
    assert (rows.token(claimed.id).generation, rows.connection(claimed.id).last_generation) == (7, 7)


def test_only_over_the_token_it_started_from(rows, refresher, claimed):
    rows.set("token", claimed.id, generation="4")
    assert refresher.renewed(renewal(claimed)) == [(claimed.id, "superseded")]
    assert rows.token(claimed.id).generation == 4


DAY = 86400
SCHEDULES = [
    # life, margin, idle -> seconds before the end at which it is due: at least, at most
    (3600, 600, None, 600, 660),
    (3600, 1200, None, 1200, 1320),
    (3600, 3500, None, 1200, 1320),  # never more than a third of the life
    (90, 600, None, 30, 33),
    (3600, 0, None, 0, 0),
    (30 * DAY, 3600, None, 3600, 3960),
]


@pytest.mark.parametrize(("life", "margin", "idle", "least", "most"), SCHEDULES)
def test_when_it_is_due_again(rows, refresher, life, margin, idle, least, most):
    claims = refresher.claim(rows.add(50))
    refresher.renewed(*[renewal(claim, life=life, margin=margin, idle=idle, late=600) for claim in claims])
    early = []
    for claim in claims:
        row, token = rows.connection(claim.id), rows.token(claim.id)
        assert row.overdue_at - row.next_refresh_at == 600 * SECOND
        early.append((token.expires_at - row.next_refresh_at) / SECOND)
    assert least <= min(early) and max(early) <= most
    if most > least:
        assert len(set(early)) > 40, "they would all come at once again"
        assert max(early) - min(early) > (most - least) / 2


@pytest.mark.parametrize(("life", "idle", "due"), [
    (None, None, None),  # without end, there is nothing to renew
    (None, 10 * DAY, 5 * DAY),  # used in time: half of what it may lie unused
    (None, 90 * DAY, 83 * DAY),  # at most a week early
    (10 * DAY, 8 * DAY, 4 * DAY),
])  # fmt: skip
def test_what_lies_unused_is_used_in_time(rows, refresher, claimed, life, idle, due):
    refresher.renewed(renewal(claimed, life=life, idle=idle))
    row, token = rows.connection(claimed.id), rows.token(claimed.id)
    if due is None:
        assert (token.expires_at, row.next_refresh_at, row.overdue_at) == (None, None, None)
    else:
        assert row.next_refresh_at - token.issued_at == due * SECOND
        assert row.overdue_at - row.next_refresh_at == 600 * SECOND
    assert (token.idle_ends_at - token.issued_at == idle * SECOND) if idle else token.idle_ends_at is None


def test_the_end_of_a_grant_stays_unless_said(rows, refresher):
    (id,) = rows.add(token={"grant_ends_at": "now() + interval '9 days'", "idle_ends_at": "now() + interval '1 day'"})
    before = rows.token(id)
    (claim,) = refresher.claim([id])
    refresher.renewed(renewal(claim, idle=3 * DAY))
    token = rows.token(id)
    assert token.grant_ends_at == before.grant_ends_at and token.idle_ends_at - token.issued_at == 3 * DAY * SECOND


@pytest.mark.parametrize(("cause", "scope_is", "after"), [
    *[(cause, "whole", "none") for cause in ("none", "scope_missing", "provider_outage")],
    *[(cause, "shrunk", "scope_missing") for cause in ("none", "scope_missing", "provider_outage")],
    ("none", "unsaid", "none"), ("provider_outage", "unsaid", "none"), ("scope_missing", "unsaid", "scope_missing"),
])  # fmt: skip
def test_what_a_scope_means(rows, refresher, cause, scope_is, after):
    (claim,) = refresher.claim(rows.add(cause=f"'{cause}'", scope="'a b'"))
    scope = None if scope_is == "unsaid" else "a"
    refresher.renewed(renewal(claim, scope_is=scope_is, scope=scope))
    row = rows.connection(claim.id)
    assert (row.cause, row.scope) == (after, scope or "a b")


def test_an_api_domain_stays_unless_said(rows, refresher):
    claims = refresher.claim(rows.add(2, api_domain="'https://old/'"))
    refresher.renewed(renewal(claims[0]), renewal(claims[1], api_domain="https://new/"))
    assert [rows.connection(claim.id).api_domain for claim in claims] == ["https://old/", "https://new/"]


# --- failed


def test_a_failure(rows, refresher):
    (id,) = rows.add(failures="2", cause="'none'")
    (claim,) = refresher.claim([id])
    before, ear = rows.token(id), Ear(rows)
    assert refresher.failed(failure(claim, wait_s=120, code="http_502", why="all")) == [(id, True)]
    row = rows.connection(id)
    assert (row.state, row.cause, row.failures, row.deferred_by, row.refusals) == ("live", "provider_outage", 3, "backoff", 0)
    assert row.next_refresh_at - row.last_error_at == 120 * SECOND and row.last_error_code == "http_502"
    assert (row.lease_owner, row.lease_until, row.ambiguous_at, row.last_generation) == (None, None, None, 5)
    assert len(row.mints) == 1 and row.tried_at == row.mints[0]
    assert rows.token(id)._replace(now=None) == before._replace(now=None), "a token that lives goes on"
    (event,) = rows.events(id)
    assert (event.action, event.outcome, event.reason, event.generation) == ("token.renewal_failed", "error", "http_502", 5)
    assert event.fingerprint == "fp-5" and event.run_id == "run"
    assert event.detail == {"why": "all", "attempt": 1, "cause": "provider_outage", "counts": True}
    assert ear.heard() == [("vestal_renewal", str(id))]


def test_a_death(rows, refresher, claimed):
    gone = failure(claimed, state="invalid", cause="user_revoked", wait_s=None, deferred_by=None, code="invalid_grant")
    assert refresher.failed(gone) == [(claimed.id, True)]
    row = rows.connection(claimed.id)
    assert (row.state, row.cause, row.next_refresh_at, row.deferred_by) == ("invalid", "user_revoked", None, None)
    rows.set("connection", claimed.id, tried_at="null")
    assert [refresher.claim([claimed.id], why=why) for why in WHYS] == [[]] * len(WHYS), "a dead grant is not tried again"


def test_a_first_refusal(rows, refresher, claimed):
    refresher.failed(failure(claimed, cause="ambiguous_refusal", refusals=1, wait_s=120, deferred_by="refusal"))
    row = rows.connection(claimed.id)
    assert (row.cause, row.refusals, row.deferred_by) == ("ambiguous_refusal", 1, "refusal")


def test_a_lost_answer_is_remembered_from_its_first(rows, refresher, claimed):
    refresher.failed(failure(claimed, ambiguous=True, wait_s=0))
    first = rows.connection(claimed.id).ambiguous_at
    assert first is not None
    rows.set("connection", claimed.id, next_refresh_at="now()")
    (again,) = refresher.claim([claimed.id])
    assert again.is_ambiguous
    refresher.failed(failure(again, ambiguous=True))
    assert rows.connection(claimed.id).ambiguous_at == first
    rows.set("connection", claimed.id, next_refresh_at="now()")
    refresher.failed(failure(refresher.claim([claimed.id])[0], ambiguous=False))
    assert rows.connection(claimed.id).ambiguous_at == first, "until a good answer"


@pytest.mark.parametrize("asked", [True, False])
def test_only_what_was_asked_is_metered(rows, refresher, asked):
    (claim,) = refresher.claim(rows.add(mints="array[now() - interval '5 minutes']"))
    refresher.failed(failure(claim, asked=asked))
    assert len(rows.connection(claim.id).mints) == (2 if asked else 1)


@pytest.mark.parametrize("meanwhile", ["override", "renewed", "removed", "taken away"])
def test_a_failure_of_what_is_gone_does_not_count(rows, refresher, worker, claimed, meanwhile):
    if meanwhile == "override":
        with worker.transaction():
            worker.override(claimed.id)
    elif meanwhile == "renewed":
        rows.set("token", claimed.id, generation="6")
    elif meanwhile == "removed":
        worker.run("token/retire", claimed.id, "removed", "person", None)
        worker.run("connection/emptied", claimed.id, "removed")
    else:
        rows.set("connection", claimed.id, removed_at="now()")
    before = rows.connection(claimed.id)
    dead = failure(claimed, state="invalid", cause="user_revoked", wait_s=None)
    assert refresher.failed(dead) == [(claimed.id, False)]
    assert rows.connection(claimed.id)._replace(now=None) == before._replace(now=None, lease_owner=None, lease_until=None)
    assert [event.detail["counts"] for event in rows.events(claimed.id)] == [False], "but it is on record"


def test_a_failure_that_waited_for_an_override(rows, refresher, worker, claimed):
    """What was said of the old token must not kill the new one."""
    with worker.transaction():
        worker.override(claimed.id)
        dead = failure(claimed, state="invalid", cause="user_revoked", wait_s=None)
        with behind(rows, refresher, lambda s: s.failed(dead)) as future:
            worker.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, False)]
    assert_overridden(rows, claimed.id, 6)


def test_a_failure_that_waited_for_a_renewal(rows, refresher, worker, claimed):
    rows.set("connection", claimed.id, lease_until="now()")
    (second,) = worker.claim([claimed.id])
    with refresher.transaction():
        refresher.renewed(renewal(claimed))
        with behind(rows, worker, lambda s: s.failed(failure(second, state="invalid", wait_s=None))) as future:
            refresher.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, False)]
    assert rows.connection(claimed.id).state == "live"


def test_a_failure_that_waited_for_another_claim(rows, refresher, worker, claimed):
    """What follows is the other one's to say, who asks now."""
    rows.set("connection", claimed.id, lease_until="now()")
    with worker.transaction():
        assert len(worker.claim([claimed.id], owner="other")) == 1
        with behind(rows, refresher, lambda s: s.failed(failure(claimed, state="invalid", wait_s=None))) as future:
            worker.connection.cursor().execute("commit")
    assert future.result() == [(claimed.id, False)]
    row = rows.connection(claimed.id)
    assert (row.state, row.lease_owner, row.failures, len(row.mints)) == ("live", "other", 0, 2) and row.lease_until > row.now


def test_a_failure_of_an_old_lease_changes_nothing(rows, refresher, worker, claimed):
    rows.set("connection", claimed.id, lease_until="now()")
    worker.claim([claimed.id], owner="other")
    before = rows.connection(claimed.id)
    for asked in (True, False):
        assert refresher.failed(failure(claimed, state="invalid", asked=asked)) == [(claimed.id, False)]
    assert rows.connection(claimed.id)._replace(now=None) == before._replace(now=None)


# --- deferred


def test_a_deferral(rows, refresher):
    (id,) = rows.add(mints="array[now() - interval '5 minutes', now() - interval '40 seconds']", failures="2", cause="'rate_limited'")
    before = rows.connection(id)
    (claim,) = refresher.claim([id])
    ear = Ear(rows)
    assert refresher.deferred({"id": id, "fence": claim.fence, "wait_s": 90, "deferred_by": "gate"}) == [id]
    row = rows.connection(id)
    assert row.mints == before.mints and row.tried_at == before.mints[1], "as if it had never been claimed"
    assert (row.lease_owner, row.lease_until, row.fence) == (None, None, 1)
    assert row.deferred_by == "gate" and abs(row.next_refresh_at - row.now - 90 * SECOND) < 5 * SECOND
    assert (row.failures, row.cause, row.last_error_at) == (2, "rate_limited", None)
    assert rows.events(id) == [] and ear.heard() == [("vestal_renewal", str(id))]


def test_a_deferral_that_leaves_the_time(rows, refresher):
    (id,) = rows.add(deferred_by="'backoff'")
    before = rows.connection(id)
    (claim,) = refresher.claim([id])
    assert refresher.deferred({"id": id, "fence": claim.fence, "wait_s": None, "deferred_by": None}) == [id]
    row = rows.connection(id)
    assert (row.next_refresh_at, row.deferred_by, row.tried_at) == (before.next_refresh_at, "backoff", None)
    assert len(refresher.claim([id], why="read")) == 1, "nobody was asked, so a reader need not wait"


def test_a_deferral_of_an_old_lease(rows, refresher, worker, claimed):
    rows.set("connection", claimed.id, lease_until="now()")
    worker.claim([claimed.id], owner="other")
    before = rows.connection(claimed.id)
    assert refresher.deferred({"id": claimed.id, "fence": claimed.fence, "wait_s": 90, "deferred_by": "gate"}) == []
    assert rows.connection(claimed.id)._replace(now=None) == before._replace(now=None)


@pytest.mark.parametrize("meanwhile", ["override", "removed"])
@pytest.mark.parametrize("waits", [False, True])
def test_a_deferral_keeps_what_came_meanwhile(rows, refresher, worker, claimed, meanwhile, waits):
    given_back = {"id": claimed.id, "fence": claimed.fence, "wait_s": 90, "deferred_by": "gate"}
    with worker.transaction():
        if meanwhile == "override":
            worker.override(claimed.id)
        else:
            worker.run("connection/lock", claimed.id)
            worker.run("token/retire", claimed.id, "removed", "person", None)
            worker.run("connection/emptied", claimed.id, "removed")
        if waits:
            with behind(rows, refresher, lambda s: s.deferred(given_back)) as future:
                worker.connection.cursor().execute("commit")
    assert (future.result() if waits else refresher.deferred(given_back)) == [claimed.id]
    row = rows.connection(claimed.id)
    assert (row.lease_owner, row.deferred_by) == (None, None)
    if meanwhile == "override":
        assert_overridden(rows, claimed.id, 6)
    else:
        assert row.next_refresh_at is None, "it would be due for ever"


def test_leases_of_one_that_is_gone(rows, refresher, worker):
    mine, other = rows.add(3), rows.add(2)
    refresher.claim(mine, owner="dead")
    refresher.claim(other, owner="alive")
    ear = Ear(rows)
    assert sorted(id for id, _ in worker.run("renewal/release", "dead")) == mine
    assert sorted(ear.heard()) == sorted(("vestal_renewal", str(id)) for id in mine), "whoever waits looks again"
    assert worker.run("renewal/release", "dead") == []
    assert len(refresher.claim(mine)) == 3 and refresher.claim(other) == []


# --- what is due


def due(session, limit=100, client=None, provider=None):
    return [id for (id,) in session.run("renewal/due", limit, client, provider)]


def test_what_is_due(rows, refresher):
    (first, *_), (second, *_) = rows.add(next_refresh_at="now() - interval '2 minutes'"), rows.add()
    rows.add(next_refresh_at="now() + interval '1 minute'")
    rows.add(lease_until="now() + interval '1 minute'", lease_owner="'somebody'")
    for columns, _ in list(NEVER.values())[:3]:
        rows.add(**columns)
    (over, *_) = rows.add(lease_until="now()", lease_owner="'gone'", next_refresh_at="now() - interval '1 second'")
    assert due(refresher) == [first, second, over]
    assert due(refresher, 2) == [first, second]
    assert due(refresher, provider=rows.connection(second).provider) == [second]
    assert due(refresher, client=rows.connection(second).client_id) == [second]
    assert due(refresher, client=rows.connection(second).client_id, provider=rows.connection(first).provider) == []


def test_the_oldest_of_a_lane_first(rows, refresher):
    ids = rows.add(50, next_refresh_at="now() - make_interval(secs => 1 + (i * 7) % 50)")
    order = sorted(range(50), key=lambda n: -(1 + ((n + 1) * 7) % 50))
    assert due(refresher) == [ids[n] for n in order]


@pytest.mark.parametrize("apart", ["provider", "datacenter", "failing", "healthy"])
def test_nobody_starves_behind_a_crowd(rows, refresher, apart):
    """10,000 that have waited for an hour, and 5 whose turn has just come."""
    provider = rows.provider()
    crowd = {"provider": provider, "failures": "1" if apart == "failing" else "0"}
    few = {"provider": provider, "failures": "1" if apart == "healthy" else "0"}
    few |= {"provider": rows.provider()} if apart == "provider" else {"datacenter": "eu"} if apart == "datacenter" else {}
    rows.add(10000, next_refresh_at="now() - interval '1 hour' - make_interval(secs => i)", **crowd)
    ids = rows.add(5, next_refresh_at="now() - interval '1 second'", **few)
    for limit in (10, 256):
        found = due(refresher, limit)
        assert len(found) == limit and set(ids) <= set(found[:10])
    # Batch after batch, as a run goes on: the crowd's share is no smaller for it.
    refresher.claim(due(refresher, 256))
    assert len(due(refresher, 256)) == 256


def test_gates_that_are_shut_offer_nothing(rows, refresher):
    """Half open, each of the two lanes behind it offers the one that may try."""
    provider = rows.provider()
    rows.add(5, provider=provider)
    rows.add(5, provider=provider, failures="1")
    other = rows.add(3)
    gate = rows.gate_of(provider)
    for state, retry, offered in (
        ("closed", "null", 10), ("open", "now() + interval '1 minute'", 0), ("half_open", "now() + interval '1 minute'", 0),
        ("open", "now()", 2), ("half_open", "now()", 2), ("half_open", "null", 2),
    ):  # fmt: skip
        rows.set("provider_state", gate, state=f"'{state}'", retry_at=retry)
        found = due(refresher)
        assert len(found) == offered + 3 and set(other) <= set(found), (state, retry)
        assert len({rows.connection(id).failing for id in found if id not in other}) == min(offered, 2)


def test_a_gate_of_an_app_is_no_lane(rows, refresher):
    provider = rows.provider()
    app = rows.app(provider)
    ids = rows.add(5, provider=provider, app_id=str(app))
    rows.sql("insert into vestal.provider_state (provider, datacenter, app_id) values (%s, 'us', %s)", provider, app)
    assert sorted(due(refresher)) == ids


def test_all(rows, refresher):
    ids = rows.add(7, next_refresh_at="now() + interval '1 hour'", deferred_by="'quota'")
    for columns, _ in list(NEVER.values())[:3]:
        rows.add(**columns)

    def all_of(limit, client=None, provider=None, after=0):
        return [id for (id,) in refresher.run("renewal/all", limit, client, provider, after)]

    assert all_of(100) == ids and all_of(3) == ids[:3] and all_of(3, after=ids[2]) == ids[3:6] and all_of(3, after=ids[-1]) == []
    row = rows.connection(ids[4])
    assert all_of(100, row.client_id) == [ids[4]] and all_of(100, None, row.provider) == ids and all_of(100, None, "other") == []


def test_how_many(rows, refresher):
    """For the progress bar: what a run would find now."""
    provider = rows.provider()
    later = "now() + interval '1 hour'"
    first = rows.add(7, provider=provider)[0]
    rows.add(4, provider=provider, failures="1")
    rows.add(2, provider=provider, next_refresh_at=later)
    rows.add(3, provider=provider, lease_until=later)
    for columns, _ in list(NEVER.values())[:3]:
        rows.add(provider=provider, **columns)
    rows.add(5)

    def count(which, client=None, provider=None):
        return refresher.run(f"renewal/count_{which}", client, provider)[0][0]

    assert (count("due"), count("due", provider=provider), count("due", rows.connection(first).client_id)) == (16, 11, 1)
    assert (count("all"), count("all", provider=provider), count("all", rows.connection(first).client_id)) == (21, 16, 1)
    rows.set("provider_state", rows.gate_of(provider), state="'open'", retry_at=later)
    assert (count("due"), count("due", provider=provider), count("all", provider=provider)) == (5, 0, 16)
    rows.sql("update vestal.connection set next_refresh_at = null")
    assert (count("due"), count("all")) == (0, 0)


def test_stale(rows, refresher):
    ids = rows.add(5, undistributed="i <> 3")
    assert [id for (id,) in refresher.run("renewal/stale", 0, 3)] == [ids[0], ids[1], ids[3]]
    assert [id for (id,) in refresher.run("renewal/stale", ids[3], 3)] == [ids[4]]


# --- how it is


def look(session, id):
    return session.run("renewal/look", id)[0]


def test_a_look(rows, worker):
    provider = rows.provider()
    app = rows.app(provider)
    (id,) = rows.add(
        provider=provider, app_id=str(app), next_refresh_at="now() + interval '60.5 seconds'", deferred_by="'gate'", failures="3",
        lease_until="now() + interval '20.5 seconds'", token={"expires_at": "now() + interval '100.5 seconds'"})  # fmt: skip
    assert look(worker, id) == (5, "live", "none", True, 20, 60, "gate", True, 100, None, 3)
    rows.sql("insert into vestal.provider_state (provider, datacenter, app_id, state, cause) values (%s, 'us', %s, 'open', 'app_credentials')", provider, app)  # fmt: skip
    assert look(worker, id)[9] == "app_credentials"
    rows.set("provider_state", rows.gate_of(provider), state="'open'")
    assert look(worker, id)[9] == "app_credentials", "what a person has to mend goes first"
    rows.set("provider_state", rows.gate_of(provider, app=app), state="'closed'")
    assert look(worker, id)[9] == "provider_outage"
    rows.set("connection", id, lease_until="now()", next_refresh_at="null", deferred_by="null")
    rows.set("token", id, expires_at="null")
    assert look(worker, id)[3:9] == (False, 0, None, None, False, None)
    for change in ({"passive": "true"}, {"next_refresh_at": "now()"}):
        rows.set("connection", id, **change)
        assert look(worker, id)[7] is False
    rows.set("connection", id, passive="false")
    assert look(worker, id)[7] is True
    rows.sql("delete from vestal.token where connection_id = %s", id)
    assert look(worker, id)[0] is None and look(worker, id)[7] is False
    rows.set("connection", id, removed_at="now()")
    assert worker.run("renewal/look", id) == [] and worker.run("renewal/left", id) == []


def test_what_is_left(rows, worker):
    provider = rows.provider()
    app = rows.app(provider)
    (id,) = rows.add(provider=provider, app_id=str(app), fence="7", last_generation="9", failures="2", refusals="1", ambiguous_at="now()")
    client = rows.connection(id).client_id
    wanted = (7, 9, 5, "live", "none", 2, 1, True, False, True, client, provider, "us", app)
    assert worker.run("renewal/left", id) == [wanted]


def test_a_plan(rows, refresher):
    """What a run would do, and why not more; for what is due, and for all."""
    provider = rows.provider()
    app = rows.app(provider)
    shut = rows.provider()
    soon = "now() + interval '1 hour'"
    cases = {
        "due": ({}, ("renew", "due", None), ("renew", "due", None)),
        "settling": ({"state": "'quarantined'", "cause": "'ambiguous_rotation'"}, ("settle", "due", None), ("settle", "due", None)),
        "later": ({"next_refresh_at": soon}, None, ("renew", "all", None)),
        "backoff": ({"next_refresh_at": soon, "deferred_by": "'backoff'"}, None, ("renew", "all", None)),
        "quota": ({"next_refresh_at": soon, "deferred_by": "'quota'"}, None, ("wait", "quota", 3599)),
        "rate": ({"next_refresh_at": soon, "deferred_by": "'rate'"}, None, ("wait", "rate", 3599)),
        "refusal": ({"next_refresh_at": soon, "deferred_by": "'refusal'"}, None, ("wait", "refusal", 3599)),
        "waits at a gate": ({"next_refresh_at": soon, "deferred_by": "'gate'"}, ("wait", "gate", 3599), ("renew", "all", None)),
        "rate, over": ({"deferred_by": "'rate'"}, ("renew", "due", None), ("renew", "due", None)),
        "leased": ({"lease_until": "now() + interval '60.5 seconds'"}, ("wait", "leased", 60), ("wait", "leased", 60)),
        "app": ({"app_id": str(app)}, ("wait", "app_gate", 300), ("wait", "app_gate", 300)),
        "shut": ({"provider": shut}, ("wait", "provider_gate", 30), ("wait", "provider_gate", 30)),
        "dead": ({"state": "'invalid'", "next_refresh_at": "null"}, None, None),
        "passive": ({"passive": "true"}, None, None),
        "taken away": ({"removed_at": "now()"}, None, None),
    }
    clients = {}
    for name, (columns, _, _) in cases.items():
        (id,) = rows.add(**({"provider": provider} | columns))
        clients[rows.connection(id).client_id] = name
    rows.sql("insert into vestal.provider_state (provider, datacenter, app_id, state, retry_at) values (%s, 'us', %s, 'open', now() + interval '300.9 seconds')", provider, app)  # fmt: skip
    rows.set("provider_state", rows.gate_of(shut), state="'open'", retry_at="now() + interval '30.9 seconds'")
    for everything in (False, True):
        plan = refresher.run("renewal/plan", everything, None, None)
        found = {clients[client]: (what, why, wait) for client, _, what, why, _, wait, _ in plan}
        assert found == {name: case[2 if everything else 1] for name, case in cases.items() if case[2 if everything else 1]}
        assert {clients[row[0]]: row[4] for row in plan}["due"] == 60
    assert [row[1] for row in refresher.run("renewal/plan", True, None, shut)] == [shut]
    client = next(iter(clients))
    assert [row[0] for row in refresher.run("renewal/plan", True, client, None)] == [client]


# --- at scale


@pytest.fixture(scope="module")
def many(stack):
    """Ten providers in two data centres, everything overdue."""
    with laid_out(stack) as made:
        clients = 100000 if LONG else 20000
        made.sql(f"""
            insert into vestal.provider_state (provider, datacenter) select 'p_' || p, d from generate_series(0, 9) p, unnest(array['us', 'eu']) d;
            insert into vestal.client (id, name) select 'c' || i, 'A name' from generate_series(1, {clients}) i;
            insert into vestal.connection (client_id, provider, datacenter, state, cause, last_generation, next_refresh_at, failures, undistributed)
                select 'c' || i, 'p_' || p, case when i % 3 = 0 then 'eu' else 'us' end, 'live', 'none', 5,
                    now() - random() * interval '1 hour', (random() < 0.1)::int, random() < 0.001
                from generate_series(1, {clients}) i, generate_series(0, 9) p;
            insert into vestal.token (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint, refresh_fingerprint,
                token_type, issued_at, expires_at, granted_at)
                select id, 5, decode(repeat('0a', 120), 'hex'), decode(repeat('0b', 120), 'hex'), 'fp', 'fp', 'Bearer', now(), now(), now()
                from vestal.connection""")
        made.sql("vacuum analyze")
        yield made


MODES = ["force_custom_plan", "force_generic_plan"]


def scans(plan):
    """How connections and tokens are read: {(table, kind of scan, index)}."""
    return {(node["Relation Name"], node["Node Type"], node.get("Index Name")) for node in plan
            if node.get("Relation Name") in ("connection", "token") and "Scan" in node["Node Type"]}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("provider", [None, "p_3"])
def test_the_search_for_what_is_due_never_touches_the_table(many, mode, provider):
    session = many.session("refresher")
    session.connection.cursor().execute(f"set plan_cache_mode = {mode}")
    plan = session.plan("renewal/due", 256, None, provider)
    assert scans(plan) == {("connection", "Index Only Scan", "connection_due")}
    read = [node for node in plan if node.get("Relation Name") == "connection"]
    assert sum(node["Heap Fetches"] for node in read) < 50, "beyond pages that a bystander kept from being vacuumed"
    lanes = 4 if provider else 40
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) <= lanes * 257, "it reads more than it could need"
    assert plan[0]["Actual Rows"] == 256


@pytest.mark.parametrize("mode", MODES)
def test_the_count_of_what_is_due_never_touches_the_table(many, mode):
    session = many.session("refresher")
    session.connection.cursor().execute(f"set plan_cache_mode = {mode}")
    plan = session.plan("renewal/count_due", None, None)
    assert scans(plan) == {("connection", "Index Only Scan", "connection_due")}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("provider", [None, "p_3"])
def test_the_search_for_one_client_reads_no_whole_table(many, mode, provider):
    session = many.session("refresher")
    session.connection.cursor().execute(f"set plan_cache_mode = {mode}")
    plan = session.plan("renewal/due", 256, "c77", provider)
    assert {(table, kind) for table, kind, _ in scans(plan)} <= {("connection", "Index Only Scan"), ("connection", "Index Scan")}
    assert plan[0]["Actual Rows"] == (1 if provider else 10)


def answers(many, n=100):
    """Claims of n connections, and the two kinds of answers to them; undone with the session's transaction."""
    session = many.session("refresher")
    cursor = session.connection.cursor()
    cursor.execute("begin")
    claims = session.claim([id for (id,) in session.run("renewal/due", n, None, None)])
    assert len(claims) == n
    return session, cursor, claims


@pytest.mark.parametrize("mode", MODES)
def test_no_step_of_a_renewal_reads_a_whole_table(many, mode):
    session, cursor, claims = answers(many)
    cursor.execute("commit")
    ids = [claim.id for claim in claims]
    origin = ("host", "program", None, None, "actor", "auth", None)
    steps = {
        "renewal/claim": (ids, "spool", LEASE_S, "all", None),
        "renewal/renewed": (json.dumps([renewal(claim) for claim in claims]), *origin),
        "renewal/failed": (json.dumps([failure(claim) for claim in claims]), *origin),
        "renewal/deferred": (json.dumps([{"id": c.id, "fence": c.fence, "wait_s": 9, "deferred_by": "gate"} for c in claims]),),
        "renewal/release": ("spool",),
        "renewal/look": (ids[0],),
        "renewal/left": (ids[0],),
        "renewal/stale": (0, 100),
        "renewal/all": (100, None, None, ids[0]),
    }
    cursor.execute(f"set plan_cache_mode = {mode}")
    seen = Counter()
    for name, values in steps.items():
        found = scans(session.plan(name, *values))
        assert found and not [scan for scan in found if scan[1] == "Seq Scan"], (name, found)
        seen.update(table for table, _, _ in found)
    assert seen["connection"] >= len(steps) and seen["token"] >= 5
    assert {id for id, _ in session.run("renewal/release", "spool")} == set(ids)
