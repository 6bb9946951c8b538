"""The course of an incident: suspected, open, acknowledged, recovering, resolved; flaps, storms, times; and who may see it.
Times that are stored are shifted, never slept."""

import json
import secrets
import subprocess

import pytest
from mail_server import serving
from renewal_harness import no_fault_left  # noqa: F401
from test_mail import die, empty_outbox, pass_time, place, send, settings  # noqa: F401


@pytest.fixture
def server():
    with serving() as it:
        yield it


def incidents(place, connection):
    names = "id", "state", "cause", "flaps", "parent"
    rows = place.sql("select i.id, i.state, i.cause, i.flaps, i.parent_id from vestal.incident i join vestal.connection c"
                     " on c.id = i.connection_id where c.client_id = %s order by i.id", connection.id)  # fmt: skip
    return [dict(zip(names, row)) for row in rows]


def only(place, connection):
    (incident,) = incidents(place, connection)
    return incident


def age(place, seconds):
    """So much time passes for all incidents and messages."""
    by = f"interval '{seconds} seconds'"
    place.sql(f"update vestal.incident set impact_start = impact_start - {by}, detected_at = detected_at - {by},"
              f" opened_at = opened_at - {by}, acknowledged_at = acknowledged_at - {by}, recovering_at = recovering_at - {by},"
              f" resolved_at = resolved_at - {by}, remind_at = remind_at - {by}")  # fmt: skip
    place.sql(f"update vestal.outbox set created_at = created_at - {by}")
    pass_time(place, seconds)


def api(place, id, method="GET", path="", body=None, **how):
    return place.stack.api(method, f"/api/oauth/incidents/{id}{path}", body, **how)


def actions(place, id):
    return [event["action"] for event in api(place, id).json["timeline"]]


def refuse(connection, expect=0):
    connection.place.make_due(connection)
    connection.place.refresh(*connection.only, expect=expect)


# --- the course


def test_a_refusal_is_a_suspicion_until_it_is_confirmed(place, server):
    connection = place.connect("zoho_crm")
    place.sim.control("revoke", {"user": connection.user})
    refuse(connection)
    suspected = only(place, connection)
    assert (suspected["state"], suspected["cause"]) == ("suspected", "ambiguous_refusal")
    send(place, server)
    assert server.mails == []
    place.pass_time(130, connection)
    refuse(connection, expect=2)
    opened = only(place, connection)
    assert opened | {"id": suspected["id"], "state": "open", "cause": "user_revoked"} == opened
    send(place, server)
    assert len(server.mails) == 1
    assert actions(place, opened["id"])[:2] == ["incident.suspected", "incident.opened"]


def test_a_suspicion_that_passes_is_told_to_nobody(place, server):
    connection = place.connect("zoho_crm")
    connection.fault(mode="zoho_error", error="invalid_code")
    refuse(connection)
    assert only(place, connection)["state"] == "suspected"
    place.pass_time(130, connection)
    refuse(connection)
    assert only(place, connection)["state"] == "resolved"
    send(place, server)
    assert server.mails == []


def test_from_open_to_resolved_with_somebody_who_takes_it_on(place, server):
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2, **settings(server))
    incident = only(place, connection)
    first = api(place, incident["id"]).json
    assert first["impactStart"] is None and first["secondsToRecover"] is None, "the access token lives"
    operator = place.stack.new_key("operator", "--all-clients")
    answer = api(place, incident["id"], "POST", "/ack", {"note": "on my way"}, key=operator)
    assert answer.status == 200, answer
    taken = answer.json
    assert (taken["state"], taken["note"], taken["acknowledgedBy"]) == ("acknowledged", "on my way", f"key:{operator.split('_')[1]}")
    again = api(place, incident["id"], "POST", "/ack").json
    assert again | {name: taken[name] for name in ("acknowledgedAt", "acknowledgedBy", "note", "timeline")} == again
    assert taken["secondsToAcknowledge"] >= 0
    # its reminders come once a day
    place.sql("update vestal.incident set remind_at = now() where id = %s", incident["id"])
    send(place, server)
    ((hours,),) = place.sql("select extract(epoch from remind_at - now()) / 3600 from vestal.incident where id = %s", incident["id"])
    assert 23 < hours <= 24 and "on my way" not in server.mails[1]["Subject"]
    connection.connect()
    assert only(place, connection)["state"] == "resolved"
    assert api(place, incident["id"], "POST", "/ack").problem(409, "conflict") == []
    send(place, server)
    assert actions(place, incident["id"]) == [
        "incident.opened", "alert.sent", "incident.acknowledged", "alert.sent", "incident.resolved", "alert.sent"]  # fmt: skip


def test_a_store_that_is_behind_keeps_it_recovering(place):
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2)
    folder = place.state / "copies" / connection.id
    away = folder.with_name(folder.name + "-away")
    folder.rename(away)
    folder.write_text("in the way")
    try:
        connection.connect()
        assert only(place, connection)["state"] == "recovering"
    finally:
        folder.unlink()
        away.rename(folder)
    place.refresh(*connection.only)
    incident = only(place, connection)
    assert incident["state"] == "resolved"
    assert [a for a in actions(place, incident["id"]) if a.startswith("incident.")] == ["incident.opened", "incident.recovering", "incident.resolved"]


def test_emergency_and_reauthorization_join_what_is_open(place):
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2)
    incident = only(place, connection)["id"]
    body = {"clientId": connection.id, "provider": "sim_told"}
    assert place.stack.api("POST", "/api/zoho/emergency-reauth", body).json["incidentId"] == incident
    answer = place.stack.api("POST", f"/api/oauth/reauthorize/{connection.id}", {"provider": "sim_told", "reason": "gone"})
    assert answer.json["incidentId"] == incident
    assert api(place, incident).json["impactStart"] is not None, "the token was removed"
    assert {"incident.opened", "emergency.requested", "reauthorize.requested"} <= set(actions(place, incident))


def test_what_run_out_and_goes_on_failing_is_an_incident(place, server):
    connection = place.own("sim_told")
    connection.fault(mode="status", status=503, times=0)
    place.pass_time(7200, connection)
    for _ in range(3):
        place.calm("sim_told")
        place.make_due(connection)
        place.refresh(*connection.only, **settings(server))
    incident = only(place, connection)
    assert (incident["state"], len(server.mails)) == ("open", 1)
    ((lag,),) = place.sql("select extract(epoch from i.impact_start - t.expires_at) from vestal.incident i join vestal.token t"
                          " using (connection_id) where i.id = %s", incident["id"])  # fmt: skip
    assert lag == 0, "since the moment the token ran out"
    place.sim.control("faults", method="DELETE")
    place.make_due(connection)
    place.refresh(*connection.only, **settings(server))
    assert only(place, connection)["state"] == "resolved" and "Recovered" in server.mails[-1]["Subject"]


# --- times


@pytest.mark.parametrize("seconds", [95, 3 * 3600 + 7, 26 * 3600 + 13 * 60 + 9])
def test_an_outage_of_known_length_has_that_time_to_recover(place, server, seconds):
    """Over midnight too: the longest is more than a day."""
    connection = place.own("sim_told")
    place.sim.control("revoke", {"user": connection.user})
    place.pass_time(7200, connection)
    refuse(connection, expect=2)
    incident = only(place, connection)["id"]
    place.sql("update vestal.incident set impact_start = now(), detected_at = now() + interval '40 seconds',"
              " opened_at = now() + interval '40 seconds' where id = %s", incident)  # fmt: skip
    age(place, seconds)
    connection.connect()
    told = api(place, incident).json
    assert seconds <= told["secondsToRecover"] <= seconds + 5 and told["secondsToDetect"] == 40
    ((exact,),) = place.sql("select time_to_recover = resolved_at - impact_start from vestal.v_incident_ttr where id = %s", incident)
    assert exact
    ((payload,),) = place.sql("select payload from vestal.outbox where incident_id = %s and kind = 'incident.resolved'", incident)
    assert payload["recoverySeconds"] == told["secondsToRecover"]


# --- flaps and storms


def test_twenty_flaps_in_an_hour_are_one_incident(place, server):
    connection = place.own("sim_told")
    for _ in range(20):
        place.calm("sim_told")  # as many deaths of many connections would be another story
        die(connection)
        place.refresh(*connection.only, expect=2, **settings(server))
        age(place, 90)
        connection.connect()
        send(place, server)
        age(place, 90)
    incident = only(place, connection)
    assert incident | {"state": "resolved", "flaps": 19} == incident
    before = [str(mail["Subject"]).split(" sim_told")[0] for mail in server.mails]
    assert len(before) <= 4 and before[:3] == ["[Vestal]", "[Vestal] Recovered:", "[Vestal]"], before
    assert "again" in server.mails[2]["Subject"]
    age(place, 31 * 60)
    send(place, server)
    assert len(server.mails) == len(before) + 1 and "Recovered" in server.mails[-1]["Subject"]
    assert "Came back: 19 times" in server.mails[-1].text
    # after the quiet time it is another one
    place.calm("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2, **settings(server))
    assert [one["flaps"] for one in incidents(place, connection)] == [19, 0]


def sow(place, provider, count):
    """Connections whose stored tokens nobody can open, due now."""
    app = place.app(provider)
    batch = secrets.token_hex(4)
    place.sql("insert into vestal.client (id, name) select %s || i, 'x' from generate_series(1, %s) i", f"storm-{batch}-", count)
    place.sql("insert into vestal.connection (client_id, provider, app_id, datacenter, state, cause, last_generation, next_refresh_at)"
              " select %s || i, %s, (select id from vestal.app where oauth_client_id = %s), 'us', 'live', 'none', 1, now()"
              " from generate_series(1, %s) i", f"storm-{batch}-", provider, app, count)  # fmt: skip
    place.sql("insert into vestal.token (connection_id, generation, access_sealed, refresh_sealed, access_fingerprint,"
              " refresh_fingerprint, token_type, issued_at, expires_at, granted_at) select id, 1, '\\x0a', '\\x0b', 'f', 'f', 'Bearer',"
              " now(), now() + interval '5 minutes', now() from vestal.connection where client_id like %s", f"storm-{batch}-%")  # fmt: skip
    place.sql("insert into vestal.provider_state (provider, datacenter) values (%s, 'us') on conflict do nothing", provider)
    return f"storm-{batch}-%"


def sweep(place, pattern):
    place.sql("update vestal.connection set next_refresh_at = null, removed_at = now(), undistributed = false where client_id like %s", pattern)


@pytest.mark.parametrize("hosts", [1, 2])
def test_a_storm_has_one_that_speaks(place, server, hosts):
    age(place, 3600)  # lest it be the last one that comes back
    pattern = sow(place, "sim_storm", 500)
    how = [{}, place.another_host("second")][:hosts]
    try:
        runs = [place.start("--provider", "sim_storm", **settings(server), **one) for one in how]
        assert 2 in [run.wait().code for run in runs]  # one may have come too late for any
        rows = place.sql("select count(*), count(i.parent_id), count(distinct i.parent_id) from vestal.incident i join vestal.connection c"
                         " on c.id = i.connection_id where c.client_id like %s and i.resolved_at is null", pattern)  # fmt: skip
        assert rows[0][0] == 500 and rows[0][1] >= 500 - 4 * hosts and rows[0][2] == 1, rows
        send(place, server)
        parents = [mail for mail in server.mails if "sim_storm (us)" in mail["Subject"]]
        assert len(parents) == 1 and len(server.mails) <= 3, server.mails
        parent = place.stack.api("GET", "/api/oauth/incidents", provider="sim_storm", state="open", limit=1000).json["incidents"]
        (speaker,) = [one for one in parent if one["clientId"] is None]
        assert speaker["children"] == rows[0][1]
        # it is not over before they are
        place.refresh("--provider", "sim_told", expect=None)
        assert api(place, speaker["id"]).json["state"] == "open"
        place.sql("update vestal.incident set resolved_at = now(), state = 'resolved', resolved_by = 'test' where parent_id = %s", speaker["id"])
        place.refresh("--provider", "sim_told", expect=None, **settings(server))
        assert api(place, speaker["id"]).json["state"] == "resolved"
        assert len([mail for mail in server.mails if "Recovered: sim_storm (us)" in mail["Subject"]]) == 1
    finally:
        sweep(place, pattern)
        place.sql("delete from vestal.incident where provider_state_id = (select id from vestal.provider_state where provider = 'sim_storm'"
                  " and app_id is null) and not exists (select from vestal.incident n where n.parent_id = incident.id)")  # fmt: skip


def test_four_speak_for_themselves(place, server):
    place.sql("update vestal.incident set opened_at = opened_at - interval '1 hour', resolved_at = now() - interval '1 hour', state = 'resolved'")
    connections = place.connect_many("sim_four", 4)
    for connection in connections:
        die(connection)
    place.refresh("--provider", "sim_four", expect=2, **settings(server))
    assert [one["parent"] for connection in connections for one in incidents(place, connection)] == [None] * 4
    assert len(server.mails) == 4


# --- who may see it


def test_the_list_pages_and_filters(place):
    connections = place.connect_many("sim_pages", 3)
    for connection in connections:
        die(connection)
    place.refresh("--provider", "sim_pages", expect=2)
    seen, after = [], None
    while True:
        answer = place.stack.api("GET", "/api/oauth/incidents", provider="sim_pages", limit=1, **({"after": after} if after else {}))
        assert answer.status == 200, answer
        seen += [one["id"] for one in answer.json["incidents"]]
        after = answer.json["next"]
        if after is None:
            break
    assert seen == sorted(seen, reverse=True) and set(seen) >= {only(place, connection)["id"] for connection in connections}
    mine = place.stack.api("GET", "/api/oauth/incidents", client=connections[0].id, state="open,acknowledged").json
    assert [one["clientId"] for one in mine["incidents"]] == [connections[0].id] and mine["next"] is None
    assert place.stack.api("GET", "/api/oauth/incidents", client=connections[0].id, state="resolved").json["incidents"] == []
    head = place.stack.api("HEAD", "/api/oauth/incidents")
    assert (head.status, head.body) == (200, b"")
    assert place.stack.api("HEAD", f"/api/oauth/incidents/{seen[0]}").status == 200


def test_a_key_sees_what_lies_in_its_scope(place):
    mine, other = place.own("sim_told"), place.own("sim_told")
    for connection in (mine, other):
        die(connection)
        place.refresh(*connection.only, expect=2)
    key = place.stack.new_key("operator", "--client", mine.id)
    theirs = place.stack.api("GET", "/api/oauth/incidents", key=key).json["incidents"]
    assert {one["clientId"] for one in theirs} == {mine.id}
    hidden = only(place, other)["id"]
    before = place.stack.tables()
    for method, path in (("GET", ""), ("POST", "/ack")):
        assert api(place, hidden, method, path, key=key).problem(404, "object_unknown") == []
        assert api(place, 2**50, method, path).problem(404, "object_unknown") == []
    for role, method, path, status in [
        ("auditor", "GET", "", 200), ("service", "GET", "", 403), ("auditor", "POST", "/ack", 403), ("service", "POST", "/ack", 403)]:  # fmt: skip
        scoped = place.stack.new_key(role, "--all-clients")
        before = place.stack.tables()
        assert api(place, only(place, mine)["id"], method, path, key=scoped).status == status
        assert place.stack.tables() == before
    assert api(place, only(place, mine)["id"], key=None).status == 401


@pytest.mark.parametrize(("method", "path", "body", "query", "fields"), [
    ("GET", "/x", None, {}, ["id"]),
    ("GET", "/0", None, {}, ["id"]),
    ("GET", "/1", None, {"limit": "1"}, ["limit"]),
    ("GET", "", None, {"state": "open,shut"}, ["state"]),
    ("GET", "", None, {"limit": "0"}, ["limit"]),
    ("GET", "", None, {"limit": "1001"}, ["limit"]),
    ("GET", "", None, {"after": "-1"}, ["after"]),
    ("GET", "", None, {"client": "no/client"}, ["client"]),
    ("GET", "", None, {"provider": "nowhere"}, ["provider"]),
    ("POST", "/1/ack", {"note": ""}, {}, ["note"]),
    ("POST", "/1/ack", {"note": "a\r\nb"}, {}, ["note"]),
    ("POST", "/1/ack", {"note": 1}, {}, ["note"]),
    ("POST", "/1/ack", {"note": "x" * 501}, {}, ["note"]),
    ("POST", "/1/ack", {"who": "me"}, {}, ["who"]),
])  # fmt: skip
def test_bad_input_is_refused_with_its_field(place, method, path, body, query, fields):
    before = place.stack.tables()
    assert place.stack.api(method, f"/api/oauth/incidents{path}", body, **query).problem(400, "invalid_input") == fields
    assert place.stack.tables() == before


# --- vestalctl


def test_vestalctl_lists_shows_and_takes_on(place):
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2)
    id = str(only(place, connection)["id"])
    ctl = place.stack.ctl
    listed = json.loads(ctl("incident", "list", "--json").stdout)["incidents"]
    assert str(listed[0]["id"]) == id and listed[0]["clientId"] == connection.id
    assert connection.id in ctl("incident", "list").stdout
    shown = json.loads(ctl("incident", "show", id, "--json").stdout)
    assert shown["state"] == "open" and shown["timeline"][0]["action"] == "incident.opened"
    assert "incident.opened" in ctl("incident", "show", id).stdout
    ctl("incident", "ack", id)
    assert api(place, id).json | {"state": "acknowledged"} == api(place, id).json
    assert api(place, id).json["acknowledgedBy"].startswith("operator:")
    for words, code in ((["incident", "show", "x"], 64), (["incident", "ack", str(2**50)], 1), (["incident", "show", "0"], 64)):
        assert ctl(*words, check=False).returncode == code


def ctl_with(place, server, *words, **more):
    env = place.environment(**settings(server, **more))
    return subprocess.run([f"{place.stack.env['VESTAL_BIN']}/vestalctl", *words], env=env, capture_output=True, text=True, timeout=60)


def test_alert_test_says_what_became_of_the_mail(place, server):
    done = ctl_with(place, server, "alert", "test")
    assert done.returncode == 0 and "took a mail to ops@example.com" in done.stdout, done
    (mail,) = server.mails
    assert mail["Subject"] == "[Vestal] a test"
    assert place.stack.audit(action="alert.sent")[-1]["actor"].startswith("operator:")
    done = ctl_with(place, server, "alert", "test", "--json", mail_to="ops@example.com,nobody@example.com")
    said = json.loads(done.stdout)
    assert (done.returncode, said["sent"], said["cause"], said["code"]) == (1, False, "refused", 550), done
    assert place.stack.audit(action="alert.failed")[-1]["reason"] == "refused_550"
    server.fault = "down"
    assert "ended the conversation" in ctl_with(place, server, "alert", "test").stdout
    done = ctl_with(place, server, "alert", "test", smtp_url="", mail_from="", mail_to="")
    assert done.returncode == 1 and "smtp_url is not set" in done.stderr
