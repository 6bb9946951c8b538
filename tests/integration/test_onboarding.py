"""Onboarding: clients and connections are made, changed and taken away whole or not at all; passive tokens are taken over;
links for those that only a person can mend."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from harness import Tenant, addresses
from renewal_harness import no_fault_left, place  # noqa: F401
from test_import import newcomer, one  # noqa: F401


def put(place, client, body, key=""):
    return place.stack.api("PUT", f"/api/oauth/clients/{client}", body, key=key)


def refused(place, client, body, status, slug, fields=None, **how):
    before = place.stack.tables()
    named = put(place, client, body, **how).problem(status, slug)
    assert fields is None or named == fields, named
    assert place.stack.tables() == before


def clients(place):
    return {row["clientId"]: row for row in place.stack.api("GET", "/api/oauth/clients").json["clients"]}


# --- PUT /api/oauth/clients/:clientId


def test_a_client_is_made_and_changed(place):
    name = f"on-{next(addresses)}"
    made = put(place, name, {"name": "One", "providers": ["sim_never", "sim_calm"]})
    assert (made.status, made.json) == (201, {"clientId": name, "name": "One", "providers": ["sim_calm", "sim_never"]})
    changed = put(place, name, {"providers": ["sim_calm", "sim_down"]})
    assert (changed.status, changed.json["name"], changed.json["providers"]) == (200, "One", ["sim_calm", "sim_down"])
    assert clients(place)[name] == changed.json
    actions = [(event["action"], event["provider"]) for event in place.stack.audit(client_id=name)]
    assert actions == [("client.added", None), ("connection.added", "sim_never"), ("connection.added", "sim_calm"),
                       ("client.changed", None), ("connection.removed", "sim_never"), ("connection.added", "sim_down")]  # fmt: skip
    again = put(place, name, {"providers": ["sim_calm", "sim_down"]})
    assert again.status == 200 and again.json == changed.json


def test_what_holds_a_token_is_not_taken_away(place):
    """Nor is anything else of the same request done."""
    connection = place.connect("sim_never")
    body = {"name": "another", "providers": ["sim_calm"]}
    refused(place, connection.id, body, 409, "in_use", [])
    refused(place, connection.id, {"providers": []}, 409, "in_use", [])
    connection.whole(1)
    assert place.stack.api("DELETE", f"/api/oauth/token/{connection.id}", provider="sim_never").status == 200
    assert put(place, connection.id, body).json["providers"] == ["sim_calm"]


def test_what_is_still_to_be_revoked_may_be_taken_away(place):
    """The revocation goes on without its connection."""
    connection = place.own("sim_rfc")
    place.sim.control("faults", {"at": "revoke", "client_id": connection.app_id, "mode": "status", "status": 503})
    assert place.stack.api("DELETE", f"/api/oauth/token/{connection.id}", provider="sim_rfc").status == 202
    assert put(place, connection.id, {"providers": []}).status == 200
    place.sql("update vestal.token_history h set revoke_due_at = now() from vestal.connection c where c.id = h.connection_id"
              " and c.client_id = %s", connection.id)  # fmt: skip
    place.refresh(expect=None)
    assert connection.books().state(connection.issued("refresh")[-1]) == "revoked"


@pytest.mark.parametrize("way", ["put", "client remove"])
def test_an_incident_ends_with_its_connection(place, way):
    """Nobody could ever mend what is not there any more."""
    connection = place.own()
    assert place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": connection.provider}).status == 200
    assert len(place.incidents(connection)) == 1
    if way == "put":
        assert put(place, connection.id, {"providers": []}).status == 200
    else:
        place.stack.ctl("client", "remove", connection.id)
    assert place.incidents(connection) == []
    (event,) = connection.events("incident.resolved")
    kinds = place.sql("select kind from vestal.outbox where incident_id = %s order by id", event["incident_id"])
    assert kinds == [("incident.opened",), ("incident.resolved",)]
    by = place.sql("select resolved_by from vestal.incident where id = %s", event["incident_id"])
    assert by == [(event["actor"],)]


BAD = [  # body, the fields named
    ({}, ["providers"]), ({"providers": "sim_never"}, ["providers"]), ({"providers": [1]}, ["providers[0]"]),
    ({"providers": ["sim_never", "nope"]}, ["providers[1]"]), ({"providers": ["sim_never"] * 101}, ["providers"]),
    ({"providers": ["sim_never"], "name": ""}, ["name"]), ({"providers": ["sim_never"], "name": "  "}, ["name"]),
    ({"providers": ["sim_never"], "name": "a\nb"}, ["name"]),
    ({"providers": ["sim_never"], "name": "x" * 201}, ["name"]), ({"providers": ["sim_never"], "more": 1}, ["more"]),
]  # fmt: skip


@pytest.mark.parametrize("body, fields", BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_clients(place, body, fields):
    name = f"on-{next(addresses)}"
    refused(place, name, body, 400, "invalid_input", fields)
    connection = place.connect("sim_never")
    refused(place, connection.id, body, 400, "invalid_input", fields)


def test_who_may(place):
    name = f"on-{next(addresses)}"
    for role in ("operator", "auditor", "service"):
        key = place.stack.new_key(role, "--all-clients")
        refused(place, name, {"providers": []}, 403, "forbidden", key=key)
    refused(place, name, {"providers": []}, 404, "client_unknown", key=place.stack.new_key("admin", "--client", f"{name}-x"))
    refused(place, name, {"providers": []}, 403, "forbidden", key=place.stack.new_key("admin", "--provider", "sim_never"))


# --- vestalctl


def test_from_nothing_to_a_token(place):
    """client, app, connect, the browser: each says what comes next."""
    tenant = Tenant(place.stack, place.sim, "sim_never")
    said = place.stack.ctl("connect", tenant.id, "sim_never").stdout
    url = next(word for word in said.split() if word.startswith("http"))
    answer = place.stack.api("GET", f"{urlsplit(url).path}?{urlsplit(url).query}")
    assert answer.status == 200
    assert tenant.callback(tenant.consent(answer.json["authorizationUrl"])).json["status"] == "healthy"


def test_activate(place, newcomer):  # noqa: F811
    new = newcomer()
    one(place, new.entry())
    told = place.stack.ctl("connection", "activate", new.id, "sim_never", "--json")
    assert json.loads(told.stdout) == {"clientId": new.id, "provider": "sim_never", "passive": False}
    row = new.connection.row()
    assert 2300 < row["next_s"] < 3100 and row["late_s"] == 600
    (event,) = new.connection.events("connection.activated")
    assert event["generation"] == 1 and event["actor"].startswith("operator:")
    new.connection.whole(1)
    new.connection.renews()


def test_activate_is_due_at_once_when_its_time_has_passed(place, newcomer):  # noqa: F811
    new = newcomer()
    one(place, new.entry())
    place.pass_time(3700, new.connection)
    assert new.connection.health()["status"] == "expired"
    place.stack.ctl("connection", "activate", new.id, "sim_never")
    place.refresh(*new.connection.only)
    new.connection.whole(2)


def test_activate_what_cannot_be_renewed(place, newcomer):  # noqa: F811
    new = newcomer()
    one(place, new.entry(refresh_token=None))
    place.stack.ctl("connection", "activate", new.id, "sim_never")
    assert new.row() == (False, False, "live", False) and new.connection.row()["next_s"] is None


def test_nothing_to_activate(place, newcomer):  # noqa: F811
    new, held = newcomer(), place.connect("sim_never")
    before = place.stack.tables()
    for words, code, said in (
        ((new.id, "sim_never"), 1, "nothing to take over"), ((held.id, "sim_never"), 1, "nothing to take over"),
        ((new.id, "sim_calm"), 1, "is not connected"), ((f"{new.id}-x", "sim_never"), 1, "there is no client"),
        ((new.id, "nope"), 64, "is not a known provider"), (("-x", "sim_never"), 64, ""), ((new.id,), 64, "PROVIDER"),
    ):  # fmt: skip
        done = place.stack.ctl("connection", "activate", *words, check=False)
        assert done.returncode == code and said in done.stderr, done
    assert place.stack.tables() == before


def test_activated_twice(place, newcomer):  # noqa: F811
    new = newcomer()
    one(place, new.entry())
    place.stack.ctl("connection", "activate", new.id, "sim_never")
    assert place.stack.ctl("connection", "activate", new.id, "sim_never", check=False).returncode == 1
    assert len(new.connection.events("connection.activated")) == 1


def test_reauthorize(place):
    """The old token serves until the new one is proved; then the incident is over."""
    connection = place.own()
    told = json.loads(place.stack.ctl("reauthorize", connection.id, "zoho_crm", "--json").stdout)
    assert told["clientId"] == connection.id and told["fault"] is None
    assert parse_qs(urlsplit(told["authorizationUrl"]).query)["client_id"] == [connection.app_id]
    assert len(place.incidents(connection)) == 1
    connection.serves()
    answer = connection.callback(connection.consent(told["authorizationUrl"]))
    assert answer.json["generation"] == 2
    connection.whole(2)
    (event,) = connection.events("emergency.requested")
    assert event["actor"].startswith("operator:") and event["incident_id"] == told["incidentId"]


def test_reauthorize_is_told_what_is_wrong(place):
    connection = place.own()
    place.app("sim_calm")
    before = place.stack.tables()
    for words, code, said in (
        ((connection.id, "sim_calm"), 1, "is not connected"), ((f"{connection.id}-x", "zoho_crm"), 1, "there is no client"),
        ((connection.id, "nope"), 64, "is not a known provider"), ((), 64, "--all-needed"), ((connection.id,), 64, "PROVIDER"),
        ((connection.id, "zoho_crm", "--all-needed"), 64, "--all-needed"),
    ):  # fmt: skip
        done = place.stack.ctl("reauthorize", *words, check=False)
        assert done.returncode == code and said in done.stderr, done
    assert place.stack.tables() == before


def test_reauthorize_all_needed(place):
    """Those whose grant is dead, and those that were taken out of service; not the healthy, never connected or removed."""
    dead, taken, healthy, removed = place.own(), place.own(), place.own(), place.own()
    place.sim.control("revoke", {"user": dead.user})
    for _ in range(2):
        place.make_due(dead)
        place.refresh(*dead.only, expect=None)
    assert dead.row()["state"] == "invalid"
    answer = place.stack.api("POST", f"/api/oauth/reauthorize/{taken.id}", {"provider": "zoho_crm"})
    assert answer.status == 200
    assert place.stack.api("DELETE", f"/api/oauth/token/{removed.id}", provider="zoho_crm").status == 200
    done = place.stack.ctl("reauthorize", "--all-needed", "--json", check=False)
    links = {row["clientId"]: row for row in json.loads(done.stdout)["links"]}
    assert {dead.id, taken.id} <= links.keys() and not {healthy.id, removed.id} & links.keys()
    for connection in (dead, taken):
        answer = connection.callback(connection.consent(links[connection.id]["authorizationUrl"]))
        assert answer.status == 200
        assert connection.health()["status"] == "healthy" and place.incidents(connection) == []
    assert dead.id not in place.stack.ctl("reauthorize", "--all-needed", check=False).stdout
