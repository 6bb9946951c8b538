"""Mails: from the outbox to a mail server that takes them, or fails in every way there is. Times that are stored are
shifted, never slept."""

import json
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import MARKER
from mail_server import certificate, serving
from renewal_harness import no_fault_left, started  # noqa: F401

FROM, TO = "vestal@example.com", "ops@example.com"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A stack of their own: what others left in trouble would be told, too."""
    with started(tmp_path_factory.mktemp("mail")) as it:
        yield it


@pytest.fixture
def server():
    with serving() as it:
        yield it


@pytest.fixture(autouse=True)
def empty_outbox(place):
    """Every test has the outbox, and the hour's budget, for itself; what is open stays quiet."""
    place.sql("delete from vestal.outbox")
    place.sql("delete from vestal.refresh_run where ended_at is not null")  # none was missed
    place.sql("insert into vestal.outbox (message_id, kind, withdrawn_at) select 'summary-' || to_char((now() + d * interval '1 day')"
              " at time zone 'UTC', 'YYYY-MM-DD'), 'summary', now() from generate_series(0, 1) d")  # fmt: skip
    place.sql("update vestal.incident set resolved_at = now() - interval '1 day', state = 'resolved' where resolved_at is null")
    yield
    place.sql("delete from vestal.outbox")
    place.sql("update vestal.connection set next_refresh_at = null where provider in ('sim_told', 'sim_told_app', 'sim_four', 'sim_pages')"
              " or client_id like 'storm-%%'")  # fmt: skip


def settings(server, **more):
    return {"smtp_url": server.url, "smtp_starttls": "off", "mail_from": FROM, "mail_to": TO} | more


def send(place, server, expect=0, **more):
    """A run with nothing to renew."""
    return place.refresh("--client", quiet_client(place), expect=expect, **settings(server, **more))


def quiet_client(place):
    if not place.sql("select from vestal.client where id = 'nobody-is-due'"):
        place.stack.ctl("client", "add", "nobody-is-due")
    return "nobody-is-due"


def die(connection):
    """The grant is taken back, and the next run finds out."""
    place = connection.place
    place.sim.control("revoke", {"user": connection.user})
    place.make_due(connection)


def outbox(place):
    return place.sql("select kind, sent_at is not null, attempts, last_error, withdrawn_at is not null, mail_id"
                     " from vestal.outbox where kind <> 'summary' order by id")  # fmt: skip


def alerts(place, action, since):
    return [event for event in place.stack.audit(action=action) if event["id"] > since]


def last_event(place):
    return place.sql("select coalesce(max(id), 0) from vestal.audit_event")[0][0]


def pass_time(place, seconds):
    """So much time passes for the outbox."""
    place.sql(f"update vestal.outbox set next_attempt_at = next_attempt_at - interval '{seconds} seconds',"
              f" claimed_until = claimed_until - interval '{seconds} seconds', sent_at = sent_at - interval '{seconds} seconds'")  # fmt: skip


def lay_down(place, n=1, kind="refresher.missed"):
    """Messages that need no incident."""
    payload = json.dumps({"before": "2026-01-31T12:00:00.000Z", "startedAt": "2026-01-31T14:00:00.000Z", "host": "here"})
    for _ in range(n):
        place.sql("insert into vestal.outbox (message_id, kind, payload) values (%s, %s, %s)", f"test-{secrets.token_hex(6)}", kind, payload)


# --- what is told


def test_an_incident_is_told_when_it_opens_and_when_it_is_over(place, server):
    connection = place.own("sim_told")
    place.sql("update vestal.client set name = 'Acme <b>&amp; Söhne</b>' where id = %s", connection.id)
    since = last_event(place)
    die(connection)
    place.refresh(*connection.only, expect=2, **settings(server))
    (opened,) = server.mails
    assert (opened.sender, opened.recipients) == (FROM, [TO])
    assert (opened["From"], opened["To"], opened["Auto-Submitted"]) == (FROM, TO, "auto-generated")
    assert opened["Subject"].startswith("[Vestal] sim_told of ") and "taken back" in opened["Subject"]
    assert connection.id in opened["Subject"]
    (incident,) = place.sql("select id from vestal.incident where resolved_at is null and cause = 'user_revoked'")[0]
    for part in (opened.text, opened.part("text/html")):
        assert f"{place.stack.env['VESTAL_URL']}/admin/#incident-{incident}" in part
        assert connection.id in part and "sim_told" in part and "What to do: Connect it again" in part
        assert "tenant" in part, "whose turn it is"
    assert "Söhne" in opened.text and "<b>" not in opened.part("text/html") and "&lt;b&gt;" in opened.part("text/html")
    assert 'name="viewport"' in opened.part("text/html")

    connection.connect()
    send(place, server)
    assert len(server.mails) == 2
    over = server.mails[1]
    assert over["Subject"].startswith("[Vestal] Recovered: sim_told of ") and re.search(r"after \d+ s$", over["Subject"])
    assert over["References"] == opened["References"] and over["Message-ID"] != opened["Message-ID"]
    sent = alerts(place, "alert.sent", since)
    assert [(event["incident_id"], event["client_id"], event["outcome"]) for event in sent] == [(incident, connection.id, "ok")] * 2
    assert [event["detail"]["messageId"] for event in sent] == [mail["Message-ID"] for mail in server.mails]
    send(place, server)
    assert len(server.mails) == 2, "told once"


def test_a_mail_holds_no_secret_and_no_address_but_ours(place, server):
    connection = place.own("sim_told")
    refresh, access = connection.issued("refresh"), connection.issued()
    answer = place.stack.api(
        "POST", "/api/zoho/emergency-reauth", {"clientId": connection.id, "provider": "sim_told", "reason": "see https://evil.example/x now"})  # fmt: skip
    assert answer.status == 200, answer
    send(place, server)
    (mail,) = server.mails
    everything = mail.raw.decode() + mail.text + mail.part("text/html")
    ours = place.stack.env["VESTAL_URL"]
    assert {url for url in re.findall(r"https?://[^\s\"<]+", everything)} == {f"{ours}/admin/#incident-{answer.json['incidentId']}"}
    assert "see (an address, left out) now" in mail.text
    for secret in (*refresh, *access, connection.app_secret, answer.json["auth_url"]):
        assert secret not in everything
    assert MARKER not in everything


@pytest.mark.parametrize("text", ["a\r\nBcc: evil@example.com", "a\nX-Evil: 1\n\nbody", "a\rb", "é" * 120 + "\r\nX-Evil: 1"])
def test_nothing_begins_a_header_of_its_own(place, server, text):
    """Written past every check, straight into the tables."""
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2)
    place.sql("update vestal.client set name = %s where id = %s", text, connection.id)
    place.sql("update vestal.incident set reason = %s where connection_id = (select id from vestal.connection where client_id = %s)",
              text, connection.id)  # fmt: skip
    send(place, server)
    (mail,) = server.mails
    head = mail.raw.split(b"\r\n\r\n")[0].split(b"\r\n")
    names = [line.split(b":")[0].decode() for line in head if not line.startswith(b" ")]
    assert names == ["Date", "From", "To", "Subject", "Message-ID", "References", "Auto-Submitted", "X-Auto-Response-Suppress",
                     "MIME-Version", "Content-Type"]  # fmt: skip
    assert all(len(line) <= 998 for line in head) and mail.recipients == [TO]
    assert b"\n" not in mail.raw.replace(b"\r\n", b"") and b"\r" not in mail.raw.replace(b"\r\n", b"")
    assert "\n" not in str(mail["Subject"]) and connection.id in mail["Subject"]


def test_what_never_worked_is_not_told(place, server):
    connection = place.own("sim_told")  # its app is known; its other one was never connected
    place.stack.ctl("client", "add", f"{connection.id}-new")
    place.stack.ctl("connect", f"{connection.id}-new", "zoho_crm")
    place.app("zoho_crm")
    answer = place.stack.api("POST", "/api/zoho/emergency-reauth", {"clientId": f"{connection.id}-new", "provider": "zoho_crm"})
    assert answer.status == 200, answer
    send(place, server)
    assert server.mails == [] and outbox(place) == []


def test_an_outage_of_a_provider_and_wrong_credentials_are_told_as_such(place, server):
    connections = place.connect_many("sim_told_app", 2)
    place.tell("sim_told_app", MARKER + "wrong")
    place.make_due(*connections)
    place.refresh("--provider", "sim_told_app", expect=2, **settings(server))
    (mail,) = server.mails
    assert "the app at sim_told_app (us): the provider refuses the app's credentials" in mail["Subject"]
    assert "vestalctl app set" in mail.text and "operator" in mail.text
    place.register("sim_told_app", MARKER + "right again")
    place.ripen_gates("sim_told_app")
    place.make_due(*connections)
    place.refresh("--provider", "sim_told_app", **settings(server))
    assert [mail["Subject"].split(",")[0] for mail in server.mails[1:]] == ["[Vestal] Recovered: the app at sim_told_app (us)"]


def test_reminders_come_at_growing_intervals(place, server):
    connection = place.own("sim_told")
    die(connection)
    place.refresh(*connection.only, expect=2, **settings(server))
    intervals = []
    for _ in range(7):
        place.sql("update vestal.incident set remind_at = now() - interval '1 second' where resolved_at is null")
        send(place, server)
        intervals.append(place.sql("select round(extract(epoch from remind_at - now()) / 3600) from vestal.incident where resolved_at is null")[0][0])
        place.sql("update vestal.outbox set sent_at = sent_at - interval '2 hours'")
    assert [int(hours) for hours in intervals] == [2, 4, 8, 16, 24, 24, 24]
    assert len(server.mails) == 8 and all("Still open: " in mail["Subject"] for mail in server.mails[1:])
    assert len({mail["Message-ID"] for mail in server.mails}) == 8
    send(place, server)
    assert len(server.mails) == 8


def test_a_grant_that_ends_is_told_of_7_3_and_1_day_ahead(place, server):
    connection = place.own("sim_told")
    for days in (8, 6.5, 6, 2.9, 0.9, 0.5):
        place.sql("update vestal.token set grant_ends_at = date_trunc('second', now()) + %s * interval '1 day' where connection_id ="
                  " (select id from vestal.connection where client_id = %s)", days, connection.id)  # fmt: skip
        # a grant has one end; it comes nearer, and is still the same
        place.sql("update vestal.outbox set message_id = regexp_replace(message_id, '-[0-9]+-([0-9]+)$', '-' || (select extract(epoch"
                  " from grant_ends_at)::int8 from vestal.token t join vestal.connection c on c.id = t.connection_id"
                  " where c.client_id = %s) || '-\\1') where kind = 'grant.ends'", connection.id)  # fmt: skip
        send(place, server, expect=None)
    place.sql("update vestal.token set grant_ends_at = null")
    assert [re.search(r"within (\d+) days?$", mail["Subject"])[1] for mail in server.mails] == ["7", "3", "1"]


def test_missed_runs_are_told_by_the_next(place, server):
    send(place, server)
    assert server.mails == []
    place.sql("update vestal.refresh_run set started_at = started_at - interval '1 hour'")
    send(place, server)
    (mail,) = server.mails
    assert mail["Subject"] == "[Vestal] the refresher did not run for a while"
    send(place, server)
    assert len(server.mails) == 1


def test_a_day_has_one_summary_and_only_when_there_is_something(place, server):
    at = place.sql("select (now() at time zone 'UTC')::time >= '06:00'")[0][0]
    connection = place.own("sim_told")
    place.sql("delete from vestal.outbox")
    place.sql("update vestal.token set expires_at = now() - interval '1 hour' where connection_id ="
              " (select id from vestal.connection where client_id = %s)", connection.id)  # fmt: skip
    send(place, server, expect=None)
    send(place, server, expect=None)
    summaries = [mail for mail in server.mails if "today: " in mail["Subject"]]
    assert len(summaries) == (1 if at else 0)
    assert not at or "not healthy" in summaries[0]["Subject"]


# --- how it goes: TLS, login, many recipients


def test_starttls_is_required_and_proved(place, tmp_path):
    good, other = certificate(tmp_path, "good"), certificate(tmp_path, "other")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with serving(certificate=good) as server:
        lay_down(place)
        send(place, server, smtp_starttls="require", smtp_ca_file=other[0])
        assert server.mails == [] and outbox(place)[0][3].startswith("certificate")
        pass_time(place, 3600)
        send(place, server, smtp_starttls="require", smtp_ca_file=good[0])
        assert [mail.is_tls for mail in server.mails] == [True]
        server.fault = "no_starttls"
        lay_down(place)
        send(place, server, smtp_starttls="require", smtp_ca_file=good[0])
        assert len(server.mails) == 1 and outbox(place)[1][3].startswith("starttls")


def test_smtps_with_a_login(place, tmp_path):
    made = certificate(tmp_path, "good")
    password = MARKER + secrets.token_hex(8)
    file = place.stack.data / "smtp_password"
    file.write_text(password + "\n")
    file.chmod(0o644)
    login = {"smtp_user": "vestal", "smtp_password_file": file, "smtp_ca_file": made[0]}
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    tmp_path.chmod(0o755)
    with serving(certificate=made, implicit_tls=True, login=("vestal", password)) as server:
        lay_down(place)
        send(place, server, **login)
        (mail,) = server.mails
        assert mail.is_tls and mail.login == ("vestal", password)
        server.login = ("vestal", "another")
        lay_down(place)
        send(place, server, **login)
        assert len(server.mails) == 1 and outbox(place)[1][3].startswith("login")
    file.unlink()


def test_one_recipient_who_is_not_there_keeps_nobody_else_from_it(place, server):
    lay_down(place)
    send(place, server, mail_to=f"nobody@example.com, {TO},other@example.com")
    assert [mail.recipients for mail in server.mails] == [[TO, "other@example.com"]]


@pytest.mark.parametrize(("bad", "said"), [
    ({"smtp_url": "http://x"}, "setting smtp_url is not smtp://host"),
    ({"smtp_url": "smtp://user:word@x"}, "setting smtp_url is not smtp://host"),
    ({"smtp_url": "smtp://x/path"}, "setting smtp_url is not smtp://host"),
    ({"smtp_url": "smtp://x:0"}, "setting smtp_url is not smtp://host"),
    ({"smtp_starttls": "maybe"}, "setting smtp_starttls is not one of"),
    ({"mail_from": "Vestal <a@b>"}, "setting mail_from is not a mail address"),
    ({"mail_from": ""}, "setting mail_from is missing: smtp_url needs it"),
    ({"mail_to": ""}, "setting mail_to is missing: smtp_url needs it"),
    ({"mail_to": "a@b.example,,c@d.example"}, "setting mail_to is not a comma separated list"),
    ({"mail_to": "a@b.example\tBcc: c@d.example"}, "setting mail_to holds a control character"),
    ({"smtp_user": "x"}, "setting smtp_password_file is missing: smtp_user needs it"),
    ({"smtp_url": "smtp://mail.example.com", "smtp_user": "x", "smtp_password_file": "/x"}, "setting smtp_starttls must be require"),
    ({"smtp_url": "smtp://localhost.example.com", "smtp_user": "x", "smtp_password_file": "/x"}, "setting smtp_starttls must be require"),
])  # fmt: skip
def test_bad_settings_are_refused_by_name(place, server, bad, said):
    done = send(place, server, expect=1, **bad)
    assert said in done.err and "environment" in done.err, done


# --- when it fails


FAULTS = {
    "down": "dropped", "refuse": "refused_550", "refuse_data": "refused_554", "defer": "deferred_451", "defer_data": "deferred_452",
}  # fmt: skip


@pytest.mark.parametrize("fault", [*FAULTS])
def test_a_mail_that_does_not_go_is_sent_later_and_once(place, server, fault):
    since = last_event(place)
    lay_down(place)
    server.fault = fault
    send(place, server)
    ((_, is_sent, attempts, error, _, _),) = outbox(place)
    assert (is_sent, attempts, error.split("_220")[0]) == (False, 1, FAULTS[fault])
    (failed,) = alerts(place, "alert.failed", since)
    assert failed["outcome"] == "error" and failed["reason"] == error
    before = server.connections
    send(place, server)
    assert server.connections == before, "it is not time yet"
    server.fault = None
    pass_time(place, 90)
    send(place, server)
    send(place, server)
    assert len(server.mails) == 1 and len(alerts(place, "alert.sent", since)) == 1


def test_nobody_there(place):
    with serving() as server:
        pass
    lay_down(place)
    send(place, server)
    assert outbox(place)[0][3] == "connect"


def test_the_waits_grow(place, server):
    server.fault = "refuse"
    lay_down(place)
    waits = []
    for _ in range(9):
        pass_time(place, 4000)
        send(place, server)
        waits.append(place.sql("select round(extract(epoch from next_attempt_at - now())) from vestal.outbox where kind <> 'summary'")[0][0])
    for wait, wanted in zip(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]):
        assert wanted - 30 <= wait <= wanted


@pytest.mark.parametrize("fault", ["hang_greeting", "hang_data", "hang_quit"])
def test_a_server_that_hangs_costs_bounded_time_and_no_renewal(place, server, fault):
    connection = place.connect("sim_told")
    lay_down(place, 3)
    server.fault = fault
    place.make_due(connection)
    began = time.monotonic()
    run = place.refresh(*connection.only, **settings(server))
    took = time.monotonic() - began
    assert 4 < took < 40 and "renewed" in run.out
    if fault == "hang_quit":
        assert len(server.mails) == 2, "taken all the same, as many as there was time for"
    else:
        assert server.connections == 1, "it is left alone then"
        assert [row[2] for row in outbox(place)] == [1, 0, 0], "what was not tried is as it was"
    ((ended_s,),) = place.sql("select extract(epoch from ended_at - started_at) from vestal.refresh_run order by id desc limit 1")
    assert ended_s < 5, "the run was over before it began to send"


def test_a_deadline_counts_for_mails_too(place, server):
    lay_down(place)
    server.fault = "hang_greeting"
    began = time.monotonic()
    place.refresh("--client", quiet_client(place), "--deadline", "2", **settings(server))
    assert time.monotonic() - began < 6


def test_a_connection_closed_after_the_mail_sends_it_again_under_the_same_id(place, server):
    """The server may have taken it or not: only the Message-ID tells the readers that it is the same."""
    lay_down(place)
    server.fault = "close_data"
    send(place, server)
    assert outbox(place)[0][1] is False
    server.fault = None
    pass_time(place, 90)
    send(place, server)
    send(place, server)
    assert len(server.mails) == 2 and server.mails[0]["Message-ID"] == server.mails[1]["Message-ID"]
    assert outbox(place)[0][5] == server.mails[0]["Message-ID"]


def test_an_hour_without_a_server_loses_nothing_and_repeats_nothing(place, server):
    connections = place.connect_many("sim_told", 3)
    for connection in connections:
        die(connection)
    server.fault = "down"
    place.refresh("--provider", "sim_told", expect=2, **settings(server))
    for _ in range(12):  # an hour of runs
        pass_time(place, 300)
        send(place, server)
    assert server.mails == []
    server.fault = None
    pass_time(place, 3600)
    send(place, server)
    send(place, server)
    told = [row[0] for row in outbox(place) if row[1]]
    assert told.count("incident.opened") == 3 and len(server.mails) == len({mail["Message-ID"] for mail in server.mails}) == len(told)


def test_two_refreshers_send_each_mail_once(place, server):
    lay_down(place, 15)
    other = place.another_host("second")
    client = quiet_client(place)
    for _ in range(3):
        runs = [place.start("--client", client, **settings(server), **how) for how in ({}, other, {}, other)]
        assert [run.wait().code for run in runs] == [0] * 4
    assert len(server.mails) == 15 == len({mail["Message-ID"] for mail in server.mails})


def test_a_refresher_that_died_leaves_its_mail_to_the_next(place, server):
    lay_down(place)
    place.sql("update vestal.outbox set claimed_until = now() + interval '2 minutes', attempts = 1")
    send(place, server)
    assert server.mails == [], "it may still be on its way"
    pass_time(place, 121)
    send(place, server)
    assert len(server.mails) == 1


def test_more_than_an_hour_may_have_goes_in_a_digest(place, server):
    lay_down(place, 18)
    send(place, server)
    assert len(server.mails) == 18
    lay_down(place, 40)
    send(place, server)
    assert len(server.mails) == 19
    digest = server.mails[-1]
    assert digest["Subject"] == "[Vestal] 40 messages in one" and digest.text.count("- the refresher did not run") == 40
    lay_down(place, 30)
    send(place, server)
    assert len(server.mails) == 19, "digests have their time too"
    pass_time(place, 16 * 60)
    send(place, server)
    assert len(server.mails) == 20 and all(row[1] for row in outbox(place))
    lay_down(place)
    send(place, server)
    assert len(server.mails) == 20, "the hour's budget is spent"
    pass_time(place, 3600)
    send(place, server)
    assert len(server.mails) == 21


def test_without_a_mail_server_nobody_is_told_and_what_is_old_is_forgotten(place, server):
    lay_down(place, 2)
    place.sql("update vestal.outbox set created_at = now() - interval '6 days' where id = (select min(id) from vestal.outbox where kind <> 'summary')")
    place.refresh("--client", quiet_client(place))
    assert [row[4] for row in outbox(place)] == [True, False]
    send(place, server)
    assert len(server.mails) == 1


def test_two_at_once_keep_the_budget(place, server):
    """Each sees what the other claimed."""
    lay_down(place, 20)
    client = quiet_client(place)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: place.refresh("--client", client, **settings(server)), range(4)))
    lay_down(place, 5)
    send(place, server)
    assert len(server.mails) == 21, "twenty, and a digest of the rest"
