"""Removing a token: gone here at once, revoked at the provider, now or by the refresher; what a provider may answer, what a
crash leaves, and what a renewal on its way brings. What really happened is asked of the simulator's books."""

import json
import socket
import threading

import frames
import pytest
from harness import eventually
from renewal_harness import PATIENT, Connection, kill_process, no_fault_left, place  # noqa: F401
from test_fastcgi import params_of, request
from test_import import one
from test_override import issued, override

FOREVER = {"times": 0}
AWAY = [  # what a provider that is away does: it is asked again
    {"mode": "drop_before"}, {"mode": "drop_after"}, {"mode": "hang"}, {"mode": "status", "status": 503},
    {"mode": "status", "status": 500, "body": {"error": "invalid_token"}}, {"mode": "html", "status": 502},
    {"mode": "status", "status": 429, "headers": {"Retry-After": "900"}},
    {"mode": "status", "status": 401, "body": {"error": "invalid_client"}},
]  # fmt: skip
LAST_WORDS = [  # rule or None, provider, the word
    (None, "sim_calm", "accepted"),
    ({"mode": "status", "status": 204}, "sim_rfc", "accepted"),
    ({"mode": "status", "status": 200, "body": "<html>any</html>"}, "sim_rfc", "accepted"),  # RFC 7009 2.2: the body is ignored
    ({"mode": "status", "status": 400, "body": {"error": "invalid_token"}}, "sim_rfc", "gone"),
    ({"mode": "status", "status": 400, "body": {"error": "unsupported_token_type"}}, "sim_rfc", "unconfirmed"),
    ({"mode": "status", "status": 400, "body": {"error": "who_knows"}}, "sim_rfc", "unconfirmed"),
    ({"mode": "redirect", "location": "http://127.0.0.1:1/"}, "sim_rfc", "unconfirmed"),
    ({"mode": "html", "status": 400}, "sim_calm", "unconfirmed"),  # Zoho's page for a token it does not take
    ({"mode": "zoho_error", "error": "invalid_client"}, "sim_calm", "unconfirmed"),
    (None, "sim_unrevoked", "unconfirmed"),
]  # fmt: skip


def remove(connection, key="", **query):
    query = {"provider": connection.provider} | query
    return connection.stack.api("DELETE", f"/api/oauth/token/{connection.id}", key=key, **query)


def removed(connection, status, word):
    answer = remove(connection)
    assert (answer.status, answer.json) == (status, {"revocation": word}), answer


def spoil(connection, **rule):
    """At the revocation endpoint, of this connection's app; without the app's name in the request, of its token's."""
    connection.sim.control("faults", {"at": "revoke", "client_id": connection.app_id} | rule)


def asked(connection):
    """(token's kind, outcome) of the revocations that arrived."""
    ledger = connection.sim.ledger(connection.app_id)
    mine = {row["id"]: row for row in ledger["tokens"] if row["user"] == connection.user}
    return [(mine[row["token"]]["kind"], row["outcome"]) for row in ledger["requests"]
            if row["kind"] == "revoke" and row["token"] in mine]  # fmt: skip


def history(connection):
    """(generation, ended_by, revocation, tries, seconds until the next) of what is kept, oldest first."""
    return connection.stack.sql(
        "select h.generation, h.ended_by, h.revocation, h.revoke_tries, extract(epoch from h.revoke_due_at - now())::float8"
        " from vestal.token_history h join vestal.connection c on c.id = h.connection_id"
        " where c.client_id = %s order by h.generation", connection.id)  # fmt: skip


def make_due(connection, age_days=0):
    connection.stack.sql(
        "update vestal.token_history h set revoke_due_at = now(), revoke_since = h.revoke_since - make_interval(days => %s)"
        " from vestal.connection c where c.id = h.connection_id and c.client_id = %s and h.revocation = 'pending'",
        age_days, connection.id)  # fmt: skip


def empty(connection, generation=1):
    """Nothing is left of it here, but the history and the counter."""
    row, report = connection.row(), connection.health()
    assert (row["state"], row["cause"], row["generation"]) == ("missing", "removed", None), row
    assert row["last_generation"] == generation, row
    assert (report["status"], report["cause"], report["action"]) == ("missing", "removed", "reauthorize"), report
    assert report["stores"] == {"database": None, "file": None, "environment": None}, report
    assert not (connection.place.state / f"copies/{connection.id}/{connection.provider}.vst").exists()
    assert not (connection.place.runtime / f"env/{connection.id}.{connection.provider}.env").exists()
    connection.token().problem(409, "reauthorization_required")


def settled(connection, word, tries):
    """The last word, in the history and by one event."""
    assert history(connection)[-1][1:4] == ("token.removed", word, tries)
    (event,) = connection.events("token.revoked")
    detail = json.loads(event["detail_text"])
    assert (event["reason"], detail["revocation"], detail["tries"]) == (word, word, tries), event
    assert event["outcome"] == ("error" if word == "unconfirmed" else "ok")
    return event


# --- the removal


def test_removed_and_revoked(place):
    connection = place.own()
    access, refresh = connection.issued()[-1], connection.issued("refresh")[-1]
    removed(connection, 200, "accepted")
    books = connection.books()
    assert (books.state(access), books.state(refresh)) == ("revoked", "revoked")
    assert asked(connection) == [("refresh", "ok")]
    empty(connection)
    (gone,), revoked = connection.events("token.removed"), settled(connection, "accepted", 1)
    (granted,) = connection.events("authorize.completed")
    assert gone["outcome"] == "ok" and gone["actor"].startswith("key:") and gone["request_id"] == revoked["request_id"]
    for event in (gone, revoked):
        assert (event["generation"], event["fingerprint"]) == (1, granted["fingerprint"]), event


def test_removed_twice(place):
    connection = place.own()
    removed(connection, 200, "accepted")
    before = place.stack.tables()
    remove(connection).problem(404, "object_unknown")
    assert place.stack.tables() == before
    assert len(connection.events("token.removed")) == 1


def test_a_connection_that_never_held_one(place):
    connection = place.own()
    place.stack.ctl("client", "add", f"{connection.id}-x")
    before = place.stack.tables()
    path = f"/api/oauth/token/{connection.id}-x"
    place.stack.api("DELETE", path, provider="zoho_crm").problem(404, "connection_unknown")
    place.stack.api("DELETE", f"{path}y", provider="zoho_crm").problem(404, "client_unknown")
    assert place.stack.tables() == before


def test_what_is_refused_changes_nothing(place):
    connection = place.own()
    others = {role: place.stack.new_key(role, "--client", connection.id) for role in ("operator", "auditor", "service")}
    stranger = place.stack.new_key("admin", "--client", f"{connection.id}-x")
    before = place.stack.tables()
    assert remove(connection, provider="nope").problem(400, "invalid_input") == ["provider"]
    assert remove(connection, reason="x").problem(400, "invalid_input") == ["reason"]
    path = f"/api/oauth/token/{connection.id}"
    body = {"later": True}
    assert place.stack.api("DELETE", path, body, provider=connection.provider).problem(400, "invalid_input") == ["later"]
    assert place.stack.api("DELETE", path).problem(400, "invalid_input") == ["provider"]
    remove(connection, key=None).problem(401, "unauthenticated")
    for key in others.values():
        remove(connection, key=key).problem(403, "forbidden")
    remove(connection, key=stranger).problem(404, "client_unknown")
    assert place.stack.tables() == before and asked(connection) == []


def test_the_counter_goes_on(place):
    connection = place.own()
    removed(connection, 200, "accepted")
    assert connection.connect()["generation"] == 2
    connection.whole(2)


def test_no_undo_goes_past_it(place):
    connection = place.own()
    connection.connect()
    removed(connection, 200, "accepted")
    before = place.stack.tables()
    body = {"provider": connection.provider, "reason": "I want it back"}
    answer = place.stack.api("POST", f"/api/oauth/undo/{connection.id}", body)
    answer.problem(409, "nothing_to_undo")
    assert place.stack.tables() == before
    assert connection.connect()["generation"] == 3
    place.stack.api("POST", f"/api/oauth/undo/{connection.id}", body).problem(409, "nothing_to_undo")
    connection.whole(3)


def test_without_a_refresh_token_the_access_token_is_sent(place):
    connection = place.own()
    place.sql("update vestal.token t set refresh_sealed = null, refresh_fingerprint = null from vestal.connection c"
              " where c.id = t.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    removed(connection, 200, "accepted")
    assert asked(connection) == [("access", "ok")]
    assert connection.books().state(connection.issued("refresh")[-1]) == "live"


def test_its_incident_ends_with_it(place):
    connection = place.own()
    answer = place.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": connection.id, "provider": connection.provider})
    incident = answer.json["incidentId"]
    removed(connection, 200, "accepted")
    assert place.incidents(connection) == []
    (event,), (gone,) = connection.events("incident.resolved"), connection.events("token.removed")
    assert event["incident_id"] == gone["incident_id"] == incident
    kinds = place.sql("select kind from vestal.outbox where incident_id = %s order by id", incident)
    assert kinds == [("incident.opened",), ("incident.resolved",)]
    by = place.sql("select resolved_by from vestal.incident where id = %s", incident)
    assert by == [(event["actor"],)]


def test_those_who_listen_are_told(place):
    connection = place.own()
    database = place.stack.connect_database()
    try:
        with database.cursor() as cursor:
            cursor.execute("listen vestal_token")
        removed(connection, 200, "accepted")

        def told():
            database.poll()
            return [json.loads(notify.payload) for notify in database.notifies if connection.id in notify.payload]

        assert eventually(told) == [{"clientId": connection.id, "provider": "zoho_crm", "generation": None}]
    finally:
        database.close()


def test_a_grant_that_was_put_away_is_revoked_too(place):
    """A reauthorization leaves it to an undo; a removal ends it, and the undo with it."""
    connection = place.own("sim_rfc")
    place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": connection.provider})
    removed(connection, 200, "accepted")
    assert connection.books().state(connection.issued("refresh")[-1]) == "revoked"
    assert place.incidents(connection) == []
    (event,) = connection.events("token.removed")
    assert event["generation"] == 1
    body = {"provider": connection.provider, "reason": "I want it back"}
    place.stack.api("POST", f"/api/oauth/undo/{connection.id}", body).problem(409, "nothing_to_undo")
    remove(connection).problem(404, "object_unknown")


@pytest.mark.parametrize("provider", ["sim_rfc", "sim_strict"])
def test_earlier_grants_are_revoked_too(place, provider):
    """Each token once: the one that was replaced by a grant of its own, and what an undo brought back and put away."""
    connection = place.own(provider)
    first = connection.issued("refresh")[-1]
    for generation in (2, 3):
        grant = issued(connection)
        assert override(connection, refresh_token=grant["refresh_token"]).json["generation"] == generation
    removed(connection, 200, "accepted")
    books = connection.books()
    assert books.state(first) == "revoked"
    assert "live" not in {token["state"] for token in books.tokens.values() if token["kind"] == "refresh"}
    assert asked(connection) == [("refresh", "ok")] * 3
    assert [row[2] for row in history(connection)] == ["accepted"] * 3
    empty(connection, 3)


def test_an_earlier_grant_waits_as_long_as_the_newest(place):
    """However long ago it was replaced: a provider that is away is tried again."""
    connection = place.own("sim_rfc")
    assert override(connection, refresh_token=issued(connection)["refresh_token"]).status == 200
    place.sql("update vestal.token_history h set ended_at = now() - interval '9 days' from vestal.connection c"
              " where c.id = h.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    spoil(connection, mode="status", status=503, **FOREVER)
    removed(connection, 202, "pending")
    make_due(connection)
    place.refresh(expect=None)
    assert [row[2] for row in history(connection)] == ["pending", "pending"]
    place.sim.control("faults", method="DELETE")
    make_due(connection)
    place.refresh(expect=None)
    assert [row[2] for row in history(connection)] == ["accepted", "accepted"]


def test_a_token_that_does_not_open_is_removed_all_the_same(place):
    connection = place.own()
    place.sql("update vestal.token t set refresh_sealed = access_sealed from vestal.connection c"
              " where c.id = t.connection_id and c.client_id = %s", connection.id)  # fmt: skip
    removed(connection, 200, "unconfirmed")
    empty(connection)
    assert asked(connection) == []
    assert json.loads(settled(connection, "unconfirmed", 1)["detail_text"])["code"] == "sealed_unreadable"


def test_a_token_that_waits_goes_too(place):
    """One of another account, kept until somebody accepts it, does not bring the connection back."""
    connection = place.connect("sim_strict")
    held = override(connection, refresh_token=issued(connection, user=f"other.{connection.user}")["refresh_token"])
    held.problem(409, "account_changed")
    removed(connection, 200, "accepted")
    body = {"provider": connection.provider, "acceptAccount": held.json["found"]}
    place.stack.api("POST", f"/api/oauth/accept-account/{connection.id}", body).problem(404, "object_unknown")
    empty(connection)


# --- what the provider may answer


@pytest.mark.parametrize("rule, provider, word", LAST_WORDS, ids=[f"{row[2]}-{n}" for n, row in enumerate(LAST_WORDS)])
def test_last_word(place, rule, provider, word):
    connection = place.own(provider)
    if rule:
        spoil(connection, **rule)
    removed(connection, 200, word)
    empty(connection)
    settled(connection, word, 1)
    place.refresh(expect=None)
    assert len(connection.events("token.revoked")) == 1 and len(asked(connection)) == (provider != "sim_unrevoked")


def test_a_word_of_the_providers_own_stays_out_of_the_trail(place):
    connection = place.own("sim_rfc")
    word = {"mode": "status", "status": 400, "body": {"error": "words_of_theirs"}}
    connection.fault(**word)
    assert override(connection, refresh_token=issued(connection)["refresh_token"]).status >= 400
    assert connection.events("token.override_refused")[-1]["detail"]["code"] == "unknown_error"
    spoil(connection, **word)
    removed(connection, 200, "unconfirmed")
    assert json.loads(settled(connection, "unconfirmed", 1)["detail_text"])["code"] == "unknown_error"
    assert "words_of_theirs" not in str(place.stack.audit(client_id=connection.id))


@pytest.mark.parametrize("rule", AWAY, ids=[f"{rule['mode']}-{rule.get('status', '')}" for rule in AWAY])
def test_a_provider_that_is_away(place, rule):
    """The removal does not wait for it; the refresher goes on until there is an answer."""
    connection = place.own("sim_rfc")
    spoil(connection, **rule)
    removed(connection, 202, "pending")
    empty(connection)
    ((_, _, word, tries, wait_s),) = history(connection)
    assert (word, tries) == ("pending", 1) and connection.events("token.revoked") == []
    patience = 900 if "headers" in rule else 60
    assert patience - 10 < wait_s <= patience
    place.sim.control("faults", method="DELETE")
    place.refresh(expect=None)
    assert len(asked(connection)) == 1, "nobody asks before its time"
    make_due(connection)
    done = place.refresh("--json", expect=None).json["revocations"]
    settled(connection, "unconfirmed" if rule["mode"] == "drop_after" else "accepted", 2)
    assert sum(done.values()) == 1 and done["pending"] == 0
    assert connection.books().state(connection.issued("refresh")[-1]) == "revoked"


def test_later_each_time_and_not_for_ever(place):
    connection = place.own("sim_rfc")
    spoil(connection, mode="status", status=503, **FOREVER)
    removed(connection, 202, "pending")
    waits = []
    for _ in range(8):
        make_due(connection)
        done = place.refresh("--json", expect=None).json["revocations"]
        assert done["pending"] == 1
        waits.append(round(history(connection)[0][4] / 60))
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    make_due(connection, age_days=4)
    place.refresh(expect=None)
    event = settled(connection, "unconfirmed", 10)
    assert json.loads(event["detail_text"])["code"] == "empty_body" and event["actor"] == "system:refresh"
    make_due(connection)
    place.refresh(expect=None)
    assert len(asked(connection)) == 10


def test_a_provider_that_is_away_is_asked_once_a_run(place):
    """What hangs costs a run one try, not one for each token that was removed."""
    connections = [place.connect("sim_rfc") for _ in range(3)]
    for connection in connections:
        spoil(connection, mode="status", status=503, **FOREVER)
        removed(connection, 202, "pending")
        make_due(connection)
    place.refresh(expect=None)
    assert sum(len(asked(connection)) for connection in connections) == 4
    place.sim.control("faults", method="DELETE")
    for connection in connections:
        make_due(connection)
    assert place.refresh("--json", expect=None).json["revocations"]["accepted"] == 3


def test_a_shut_gate_is_respected(place):
    connection = place.own("sim_rfc")
    spoil(connection, mode="status", status=503)
    removed(connection, 202, "pending")
    place.sql("update vestal.provider_state set state = 'open', retry_at = now() + interval '1 hour'"
              " where provider = 'sim_rfc' and app_id is null")  # fmt: skip
    make_due(connection)
    place.refresh(expect=None)
    assert len(asked(connection)) == 1
    place.calm("sim_rfc")
    place.refresh(expect=None)
    settled(connection, "accepted", 2)


def test_runs_at_once_ask_once(place):
    connection = place.own("sim_rfc")
    spoil(connection, mode="status", status=503)
    removed(connection, 202, "pending")
    make_due(connection)
    runs = [place.start() for _ in range(4)]
    for run in runs:
        run.wait()
    assert len(asked(connection)) == 2
    settled(connection, "accepted", 2)


def test_a_worker_that_is_killed_while_it_asks(place):
    """It is written down before: the next run goes on."""
    connection = place.own("sim_rfc")
    spoil(connection, mode="hang")
    asking = threading.Thread(target=remove, args=(connection,))
    asking.start()
    connection.wait_for_hang()
    empty(connection)
    for pid in place.stack.workers("provider"):
        kill_process(pid)
    asking.join()
    place.sim.control("faults", method="DELETE")
    assert history(connection)[0][2:4] == ("pending", 1)
    eventually(lambda: len(place.stack.workers("provider")) == 2)
    make_due(connection)
    place.refresh(expect=None)
    assert history(connection)[-1][2] in ("accepted", "unconfirmed")  # what hung acted when it was cleared, or its caller had gone
    assert connection.books().state(connection.issued("refresh")[-1]) == "revoked"


def test_an_app_that_came_later_does_not_matter(place):
    """The token is revoked by the app that it was granted to, whatever the connection lives by now."""
    connection = place.own("sim_rfc")
    spoil(connection, mode="status", status=503)
    removed(connection, 202, "pending")
    assert connection.connect()["generation"] == 2
    make_due(connection)
    place.refresh(expect=None)
    assert history(connection)[0][2] == "accepted"
    connection.whole(2)


def ask_worker(path, connection, method, url, body=None):
    """A request handed to that worker, as nginx would; its answer, head and all."""
    sent = json.dumps(body).encode() if body else b""
    more = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(sent))} if body else {}
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(path))
        caller.sendall(request(params_of(connection.stack, url, method, **more), sent))
        return b"".join(content for kind, content in list(frames.receive(caller)) if kind == frames.STDOUT)


def test_a_commit_whose_answer_is_lost(place):
    """The removal is looked for: the copies go with it at once, and the provider is asked."""
    connection = place.connect("sim_strict")
    with place.worker(cut="commit") as (_, path):
        answer = ask_worker(path, connection, "DELETE", f"/api/oauth/token/{connection.id}?provider={connection.provider}")
    assert b"Status: 200" in answer and b'{"revocation":"accepted"}' in answer, answer
    empty(connection)
    settled(connection, "accepted", 1)


def test_an_accepted_account_whose_answer_is_lost(place):
    """The token is looked for: it is everywhere at once."""
    connection = place.connect("sim_strict")
    held = override(connection, refresh_token=issued(connection, user=f"other.{connection.user}")["refresh_token"])
    body = {"provider": connection.provider, "acceptAccount": held.json["found"]}
    with place.worker(cut="commit") as (_, path):
        answer = ask_worker(path, connection, "POST", f"/api/oauth/accept-account/{connection.id}", body)
    assert b"Status: 200" in answer, answer
    connection.whole(2)


# --- together with renewals


@pytest.mark.parametrize("rotation", ["never", "always"])
def test_a_renewal_on_its_way_brings_nothing_back(place, rotation):
    """And what it did bring, where the provider rotates, is revoked too: nothing of the grant is left alive."""
    connection = place.own("sim_grace" if rotation == "always" else "sim_rfc",
                           **{"rotation": "grace", "grace_s": 600} if rotation == "always" else {})  # fmt: skip
    connection.fault(mode="hang", act=True)
    place.make_due(connection)
    run = place.start(*connection.only, **PATIENT)
    connection.wait_for_hang()
    answer = remove(connection)
    assert answer.status in (200, 202), answer
    place.sim.control("faults", method="DELETE")
    assert run.wait().code in (0, 2)
    place.refresh(expect=None)
    row = connection.row()
    assert (row["state"], row["cause"], row["generation"]) == ("missing", "removed", None), row
    assert connection.events("token.renewed") == [] and len(connection.events("token.superseded")) == 1
    states = {token["state"] for token in connection.books().tokens.values()}
    assert "live" not in states, connection.books().tokens
    if rotation == "always":
        assert [entry[:3] for entry in history(connection)] == [
            (1, "token.removed", history(connection)[0][2]), (2, "token.removed", history(connection)[1][2])]  # fmt: skip
        assert connection.connect()["generation"] == 3
    else:
        assert len(history(connection)) == 1 and connection.connect()["generation"] == 2


def test_removing_and_renewing_at_once(place):
    """However they meet, nothing is served in the end, and the grant is dead."""
    connection = place.own("sim_rfc")
    place.make_due(connection)
    run = place.start(*connection.only)
    answer = remove(connection)
    run.wait()
    assert answer.json["revocation"] == "accepted"
    place.refresh(expect=None)
    connection.token().problem(409, "reauthorization_required")
    assert "live" not in {token["state"] for token in connection.books().tokens.values() if token["kind"] == "refresh"}


def test_many_remove_at_once(place):
    """One of them does it; the others find nothing."""
    connection = place.own("sim_rfc")
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(remove(connection))) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(answer.status for answer in answers) == [200] + [404] * 5
    assert len(connection.events("token.removed")) == 1 and len(asked(connection)) == 1


def test_what_was_revoked_by_the_user_before(place):
    connection = place.own()
    place.sim.control("revoke", {"user": connection.user})
    removed(connection, 200, "unconfirmed")
    empty(connection)


def test_two_connections_of_one_grant(place):
    """What ends it for one, ends it for both; the other says so with its next renewals."""
    first, second = place.connect("sim_rfc"), Connection(place, "sim_rfc")
    entry = {"clientId": second.id, "provider": "sim_rfc", "datacenter": "us", "refresh_token": first.issued("refresh")[-1]}
    assert one(place, entry, "--active")["result"] == "imported"
    removed(first, 200, "accepted")
    place.make_due(second)
    place.refresh(*second.only, expect=2)
    assert second.verdict() == ("invalid", "user_revoked", "reauthorize", "tenant")
