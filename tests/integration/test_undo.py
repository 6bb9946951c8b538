"""Undoing: back to the grant before the last override or authorization, proved, as a new generation.

Whether a refresh token that was spent is ever sent again is asked of the simulator's ledger.
"""

import json

import pytest
from renewal_harness import PATIENT, no_fault_left, place  # noqa: F401
from rows import at_once
from test_import import newcomer, one  # noqa: F401
from test_override import accepted, emergency, history, issued, nobody_says_whose_it_is, override, override_there, pinned, vouch

REASON = "the wrong tenant"
ROTATING = "sim_strict"


def undo(connection, key="", **body):
    body = {"provider": connection.provider, "reason": REASON} | body
    return connection.stack.api("POST", f"/api/oauth/undo/{connection.id}", {k: v for k, v in body.items() if v is not None}, key=key)


def undone(answer, generation, status="healthy"):
    assert answer.status == 200, answer
    assert (answer.json["status"], answer.json["generation"]) == (status, generation), answer


def refused(connection, status, slug, cause, words=""):
    """Nothing changes but the audit trail; the provider's books are the caller's to look at."""
    before = connection.stack.tables()
    answer = undo(connection)
    answer.problem(status, slug)
    assert connection.stack.tables() == before, "a refusal changed something"
    assert words in answer.json["detail"], answer.json["detail"]
    event = connection.events("token.undone")[-1]
    assert event["outcome"] in ("denied", "error") and event["detail"]["cause"] == cause and event["reason"] == REASON, event
    return answer


def grant_of(connection, access):
    """The simulator's name for the grant of an access token."""
    return connection.books().by_value[access]["grant"]


def replace(connection, generation, **more):
    """An override with a grant of its own; what it was."""
    grant = issued(connection, **more)
    send = override_there if "datacenter" in more or "user" in more else override
    accepted(send(connection, refresh_token=grant["refresh_token"], datacenter=more.get("datacenter")), generation)
    return grant["grant"]


# --- back


def test_an_override_is_undone(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    replace(connection, 2, datacenter="eu")
    undone(undo(connection), generation=3)

    connection.whole(generation=3)
    assert grant_of(connection, connection.serves()) == first and connection.health()["datacenter"] == "us"
    (event,) = connection.events("token.undone")
    assert (event["outcome"], event["generation"], event["reason"], event["detail"]) == ("ok", 3, REASON, {"from": 1}), event
    rows = history(connection)
    assert [(row[0], row[1], row[6]) for row in rows] == [(1, "token.override", 3), (2, "token.undone", None)], rows
    assert rows[1][2] == event["actor"] and rows[1][3] == REASON
    connection.renews()
    connection.whole(generation=4)


def test_renewals_are_no_steps(place):
    connection = place.own(mint_limit=0)
    first = grant_of(connection, connection.serves())
    connection.renews()
    replace(connection, 3)
    connection.renews()
    undone(undo(connection), generation=5)
    assert grant_of(connection, connection.serves()) == first
    connection.renews()
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo")


def test_the_next_undo_goes_one_further_back(place):
    connection = place.own(mint_limit=0)
    first = grant_of(connection, connection.serves())
    second = replace(connection, 2)
    replace(connection, 3)
    place.sql("update vestal.connection set mints = '{}' where client_id = %s", connection.id)
    undone(undo(connection), generation=4)
    assert grant_of(connection, connection.serves()) == second
    undone(undo(connection), generation=5)
    assert grant_of(connection, connection.serves()) == first
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "No token of an earlier grant")
    connection.whole(generation=5)
    replace(connection, 6)
    undone(undo(connection), generation=7)
    assert grant_of(connection, connection.serves()) == first, "a new step is one that can be undone"


def test_a_removal_for_a_new_authorization_is_undone(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    body = {"provider": connection.provider}
    incident = connection.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", body).json["incidentId"]
    undone(undo(connection), generation=2)
    connection.whole(generation=2)
    assert grant_of(connection, connection.serves()) == first
    assert place.sql("select state from vestal.incident where id = %s", incident) == [("resolved",)]


def test_a_grant_comes_back_with_its_end(place):
    connection = place.own()
    place.sql("update vestal.token t set grant_ends_at = now() + interval '2 days' from vestal.connection c"
              " where c.id = t.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    before = connection.health()
    replace(connection, 2)
    assert connection.health()["refreshExpiresAt"] != before["refreshExpiresAt"]
    undone(undo(connection), generation=3, status=before["status"])
    assert connection.health()["refreshExpiresAt"] == before["refreshExpiresAt"] is not None


def test_a_second_consent_is_undone(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    emergency(connection)
    connection.connect()
    undone(undo(connection), generation=3)
    assert grant_of(connection, connection.serves()) == first


def test_the_account_comes_back_with_the_grant(place):
    """It was accepted once, and whoever undoes means it."""
    connection = place.own()
    first = pinned(connection)
    replace(connection, 2, user="somebody@else.example")
    assert pinned(connection) != first
    undone(undo(connection), generation=3)
    assert pinned(connection) == first
    assert len(connection.events("connection.account_changed")) == 2


def test_an_access_token_alone_comes_back_with_what_is_left_of_it(place):
    connection = place.own()
    grant = issued(connection)
    accepted(override(connection, access_token=grant["access_token"], expires_in=1800), 2, status="expiring")
    replace(connection, 3)
    place.sql("update vestal.token_history h set expires_at = now() + interval '500 seconds' from vestal.connection c"
              " where c.id = h.connection_id and c.client_id = %s and h.generation = 2", connection.id)  # fmt: skip
    undone(undo(connection), generation=4, status="expiring")
    row = connection.row()
    assert connection.serves(grant["access_token"]) and 480 < row["lives_s"] <= 500 and row["next_s"] is None, row


# --- not back


def test_past_nothing(place):
    connection = place.own()
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo")
    connection.whole(generation=1)


@pytest.mark.parametrize("ended_by", ["token.removed", "token.revoked"])
def test_past_a_removal(place, ended_by):
    connection = place.own()
    replace(connection, 2)
    replace(connection, 3)
    place.sql("update vestal.token_history h set ended_by = %s from vestal.connection c where c.id = h.connection_id"
              " and c.client_id = %s and generation = 2", ended_by, connection.id)  # fmt: skip
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "removed and revoked")


def test_an_access_token_that_has_run_out(place):
    connection = place.own()
    accepted(override(connection, access_token=issued(connection)["access_token"], expires_in=60), 2, status="expiring")
    replace(connection, 3)
    place.sql("update vestal.token_history h set expires_at = now() - interval '1 second' from vestal.connection c"
              " where c.id = h.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "has run out")


@pytest.mark.parametrize("provider", ["sim_never", ROTATING])
def test_a_grant_that_was_revoked(place, provider):
    connection = place.connect(provider)
    old = connection.issued("refresh")[0]
    replace(connection, 2)
    place.sim.control("revoke", {"refresh_token": old})
    refused(connection, 422, "token_refused", "unknown_refresh_token", "revoked")
    connection.whole(generation=2)


def test_the_quota(place):
    connection = place.own()
    replace(connection, 2)
    place.sql("update vestal.connection set mints = array_fill(now(), array[5]) where client_id = %s", connection.id)
    asked = len(connection.books().asked)
    refused(connection, 503, "renewal_deferred", "quota")
    assert len(connection.books().asked) == asked


def test_bad_input(place):
    connection = place.own()
    keys = [place.stack.new_key("operator"), place.stack.new_key("admin", "--client", "somebody-else")]
    before = connection.stack.tables()
    for body, fields in (({"provider": None}, ["provider"]), ({"reason": None}, ["reason"]), ({"reason": " "}, ["reason"]),
                         ({"provider": "nobody"}, ["provider"]), ({"generation": 1}, ["generation"])):  # fmt: skip
        assert undo(connection, **body).problem(400, "invalid_input") == fields
    undo(connection, key=keys[0]).problem(403, "forbidden")
    assert undo(connection, key=keys[1]).status == 404
    undo(connection, provider="zoho_calendar").problem(404, "connection_unknown")
    assert connection.stack.tables() == before
    place.stack.api("POST", "/api/oauth/undo/nobody", {"provider": "zoho_crm", "reason": "x"}).problem(404, "client_unknown")


# --- a provider that replaces refresh tokens


def unspent(connection):
    """Nothing that was spent was ever sent again."""
    assert connection.books().reuses() == [], connection.books()


def test_a_rotating_provider(place):
    connection = place.connect(ROTATING)
    first = grant_of(connection, connection.serves())
    connection.renews()
    replace(connection, 3)
    undone(undo(connection), generation=4)
    assert grant_of(connection, connection.serves()) == first
    connection.renews()
    connection.whole(generation=5)
    unspent(connection)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo")


def test_the_very_token_that_was_there_before(place):
    """Pasted once more it is replaced by the provider, so that history holds one that is spent."""
    connection = place.connect(ROTATING)
    own = connection.issued("refresh")[0]
    accepted(override(connection, refresh_token=own), 2)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    connection.renews()
    unspent(connection)


def test_a_renewal_was_under_way_when_it_was_replaced(place):
    """What it brought is thrown away, and what it started from is spent: not to be sent again."""
    connection = place.connect(ROTATING)
    connection.fault(mode="hang", act=True)
    place.make_due(connection)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    replace(connection, 2)
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    asked = len(connection.books().asked)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    assert len(connection.books().asked) == asked
    connection.whole(generation=2)
    connection.renews()
    unspent(connection)


def test_the_same_where_nothing_is_replaced(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    connection.fault(mode="hang", act=True)
    place.make_due(connection)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    replace(connection, 2)
    undone(undo(connection), generation=3)
    place.sim.control("faults", method="DELETE")
    assert run.wait().code == 0
    connection.whole(generation=3)
    assert grant_of(connection, connection.serves()) == first


def test_an_answer_was_lost_before_it_was_replaced(place):
    connection = place.connect(ROTATING)
    connection.fault(mode="drop_after")
    place.make_due(connection)
    place.refresh(*connection.only, expect=None)
    assert connection.row()["state"] == "quarantined"
    replace(connection, 2)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    unspent(connection)


def test_the_answer_to_an_undo_is_lost(place):
    """The provider may have replaced the token: it is marked, and no second undo sends it."""
    connection = place.connect(ROTATING)
    replace(connection, 2)
    connection.fault(mode="drop_after")
    undo(connection).problem(502, "provider_unavailable")
    asked = len(connection.books().asked)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    assert len(connection.books().asked) == asked
    connection.whole(generation=2)
    unspent(connection)


def test_nobody_says_whose_an_undone_token_is(place):
    """It cost the one that was sent: what it became waits for an administrator's word."""
    connection = place.connect(ROTATING)
    first = grant_of(connection, connection.serves())
    replace(connection, 2)
    nobody_says_whose_it_is(connection)
    undo(connection).problem(502, "provider_unavailable")
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    taken = vouch(connection, pinned(connection))
    assert taken.status == 200, taken
    assert grant_of(connection, connection.serves()) == first
    place.sim.control("faults", method="DELETE")
    connection.renews()
    unspent(connection)


def test_a_renewal_has_replaced_what_history_holds_too(place):
    """A provider that replaces refresh tokens now and then: the same one stands in two generations, and then is spent."""
    connection = place.own(ROTATING, rotation="never")
    own = connection.issued("refresh")[0]
    accepted(override(connection, refresh_token=own), 2)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")  # it is in use
    connection.sim.control("settings", {"client_id": connection.app_id, "rotation": "strict"})
    connection.renews()
    asked = len(connection.books().asked)
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    assert [row[5] for row in history(connection)] == [True] and len(connection.books().asked) == asked


def test_a_held_token_has_cost_the_one_that_was_given(place):
    """Back to the account of before with the very token of then: it is spent, and no undo sends it."""
    connection = place.own(ROTATING, rotation="never")
    own = connection.issued("refresh")[0]
    replace(connection, 2, user="somebody@else.example")
    connection.sim.control("settings", {"client_id": connection.app_id, "rotation": "strict"})
    override(connection, refresh_token=own).problem(409, "account_changed")
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "never sent again")
    unspent(connection)


def test_a_provider_that_was_not_reached(place):
    """Nothing was sent, so that it can be sent another time."""
    connection = place.connect(ROTATING)
    replace(connection, 2)
    connection.fault(mode="status", status=429)
    refused(connection, 422, "token_refused", "throttled")
    undone(undo(connection), generation=3)
    unspent(connection)


# --- others at the same time


def test_what_its_old_owner_renews_stays_his(place, newcomer):
    """Where refresh tokens are replaced nothing of his is sent; elsewhere it comes back as it was: passive."""
    theirs = newcomer(ROTATING)
    one(place, theirs.entry())
    replace(theirs.connection, 2)
    refused(theirs.connection, 409, "nothing_to_undo", "nothing_to_undo", "old owner")
    assert theirs.connection.books().state(theirs.grant["refresh_token"]) == "live"

    theirs = newcomer("sim_never")
    one(place, theirs.entry())
    replace(theirs.connection, 2)
    assert undo(theirs.connection).status == 200
    assert theirs.connection.health()["passive"] and theirs.connection.row()["next_s"] is None


@pytest.mark.parametrize("provider", ["sim_never", ROTATING])
def test_many_undo_the_same(place, provider):
    connection = place.connect(provider)
    replace(connection, 2)
    answers = at_once([lambda: undo(connection)] * 4)
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409], answers
    (winner,) = [answer for answer in answers if answer.status == 200]
    undone(winner, generation=3)
    connection.whole(generation=3)
    assert [row[0] for row in history(connection)] == [1, 2]
    unspent(connection)
    connection.renews()


@pytest.mark.parametrize("provider", ["sim_never", ROTATING])
def test_override_undo_and_reauthorize_at_once(place, provider):
    """Every generation is somebody's, nobody's twice, and history has them all."""
    connection = place.connect(provider)
    replace(connection, 2)
    grants = [issued(connection) for _ in range(2)]
    calls = [lambda grant=grant: override(connection, refresh_token=grant["refresh_token"]) for grant in grants]
    calls += [lambda: undo(connection)] * 2
    body = {"provider": connection.provider, "reason": "out"}
    calls.append(lambda: connection.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", body))
    answers = at_once(calls)
    assert [answers[n].status for n in (0, 1, 4)] == [200, 200, 200], answers
    assert all(answer.status in (200, 409) for answer in answers), answers
    won = sorted(answer.json["generation"] for answer in answers[:4] if answer.status == 200)
    assert won == list(range(3, 3 + len(won))), answers
    told = [e for action in ("token.override", "token.undone") for e in connection.events(action) if e["outcome"] == "ok"]
    assert sorted(e["generation"] for e in told) == [2, *won]
    rows, now = history(connection), connection.row()
    kept = [row[0] for row in rows] + ([now["generation"]] if now["generation"] else [])
    assert kept == list(range(1, won[-1] + 1)), (rows, now)
    assert now["last_generation"] == won[-1]
    unspent(connection)
    if now["generation"]:
        connection.renews()


# --- the command


def test_the_command(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    replace(connection, 2)
    done = place.stack.ctl("undo", connection.id, connection.provider, "--reason", REASON, "--json")
    assert json.loads(done.stdout) == {
        "clientId": connection.id, "provider": connection.provider, "status": "healthy", "from": 1, "generation": 3,
    }  # fmt: skip
    connection.whole(generation=3)
    assert grant_of(connection, connection.serves()) == first
    (event,) = connection.events("token.undone")
    assert event["actor"].startswith("operator:") and event["reason"] == REASON
    owner = place.state.stat()
    copy = (place.state / f"copies/{connection.id}/{connection.provider}.vst").stat()
    assert (copy.st_uid, copy.st_gid) == (owner.st_uid, owner.st_gid), "a file of the wrong owner"
    connection.renews()

    again = place.stack.ctl("undo", connection.id, connection.provider, "--reason", REASON, check=False)
    assert again.returncode == 1 and "No token of an earlier grant" in again.stderr and not again.stdout, again


def test_the_command_where_refresh_tokens_are_replaced(place):
    connection = place.connect(ROTATING)
    replace(connection, 2)
    place.stack.ctl("undo", connection.id, connection.provider, "--reason", REASON)
    connection.whole(generation=3)
    assert place.spooled() == []
    connection.renews()
    unspent(connection)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nobody", "zoho_crm", "--reason", "x"], "there is no client nobody"),
        (["a", "mars", "--reason", "x"], "not a known provider"),
        (["a", "zoho_crm"], "--reason"),
        (["a", "zoho_crm", "--reason", "  "], "says nothing"),
        (["a", "--reason", "x"], "PROVIDER"),
    ],
)
def test_the_command_refuses(place, words, says):
    done = place.stack.ctl("undo", *words, check=False)
    assert done.returncode == (1 if words[0] == "nobody" else 64) and says in done.stderr, done


# --- how long it is kept


def test_history_is_kept_as_long_as_it_is_set(place):
    connection = place.own()
    first = grant_of(connection, connection.serves())
    replace(connection, 2)
    replace(connection, 3)
    place.sql("update vestal.token_history h set ended_at = now() - make_interval(days => case generation when 1 then 3 else 1 end)"
              " from vestal.connection c where c.id = h.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    place.refresh(*connection.only)
    assert [row[0] for row in history(connection)] == [1, 2], "90 days are not over"
    place.refresh(*connection.only, token_history_days=2)
    assert [row[0] for row in history(connection)] == [2], "what an undo needs within that time stays"
    undone(undo(connection), generation=4)
    assert grant_of(connection, connection.serves()) != first
    refused(connection, 409, "nothing_to_undo", "nothing_to_undo", "token_history_days")
