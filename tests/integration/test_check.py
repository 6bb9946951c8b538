"""The check: tokens are proved at the provider, causes have owners, and what ends soon is told before it does.

`tests/golden/health.eval` holds what an answer means in which state; it is walked here through real workers, the real
judge and the real view. What nobody may lose by it (renewals, quota, gates) is asked of the simulator's books.
"""

import json
import os
import pty
import re
import secrets
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import leaks
import pytest
from harness import MARKER, TREE, eventually
from oidc.oidc import OidcProvider, install
from renewal_harness import OIDC, no_fault_left, place  # noqa: F401
from test_oidc import OidcTenant

CHECK = "/divine/oauth/health/check"
DEAD = {"mode": "status", "status": 401, "body": {"code": "INVALID_TOKEN"}}
AWAY = {"mode": "status", "status": 503}


def check(connection, expect=200, key="", **body):
    answer = connection.stack.api("POST", CHECK, {"clientId": connection.id, "provider": connection.provider} | body, key=key)
    assert answer.status == expect, answer
    return answer.json["data"] if expect == 200 else answer


def probe_fault(connection, **rule):
    connection.sim.control("faults", {"at": "probe", "client_id": connection.app_id, **rule})


def probes(connection):
    """How often this connection's app was asked for a proof since the connection was made."""
    rows = connection.sim.ledger(connection.app_id)["requests"]
    return sum(row["kind"] == "probe" for row in rows)


def verdict(report):
    return tuple(report[name] for name in ("status", "cause", "action", "owner"))


def found(connection):
    ((row,),) = connection.stack.sql(
        "select row_to_json(c)::text from vestal.connection c where client_id = %s and provider = %s", connection.id, connection.provider)
    return json.loads(row)


def events(connection):
    """What changed, by the trail: (found, status before, status after)."""
    rows = [event for event in connection.events("health.checked") if event["connection_id"]]
    return [(row["detail"]["found"], row["detail"]["statusBefore"], row["detail"]["status"]) for row in rows]


# --- the golden table

TOKEN = "update vestal.token t set {} from vestal.connection c where c.id = t.connection_id and c.client_id = %s"
ROW = "update vestal.connection set {} where client_id = %s"
NO_REFRESH = [TOKEN.format("refresh_sealed = null, refresh_fingerprint = null"), ROW.format("next_refresh_at = null")]
FOUND = ROW.format("found = '{}', found_at = now(), found_generation = last_generation")
REFUSED = ROW.format("found = 'ambiguous_refusal', found_at = now() - interval '20 minutes', found_generation = last_generation")
BEFORE = {
    "live": [],
    "access_only": NO_REFRESH,
    "passive": [ROW.format("passive = true")],
    "expired": [TOKEN.format("expires_at = now() - interval '1 second'")],
    "expired_only": [*NO_REFRESH, TOKEN.format("expires_at = now() - interval '1 second'")],
    "overdue": [ROW.format("overdue_at = now()")],
    "quota": [ROW.format("mints = array_fill(now(), array[9])")],
    "invalid": [ROW.format("state = 'invalid', cause = 'user_revoked', next_refresh_at = null")],
    "quarantined": [ROW.format("state = 'quarantined', cause = 'ambiguous_rotation'")],
    "missing": ["delete from vestal.token t using vestal.connection c where c.id = t.connection_id and c.client_id = %s",
                ROW.format("state = 'missing', cause = 'removed', next_refresh_at = null")],  # fmt: skip
    "scope": [ROW.format("cause = 'scope_missing'")],
    "shrunk": [ROW.format("cause = 'scope_missing', scope = 'AaaServer.profile.READ'")],
    "fault": [FOUND.format("our_fault")],
    "refused": [FOUND.format("ambiguous_refusal")],
    "found_away": [FOUND.format("provider_outage")],
    "away": [ROW.format("cause = 'provider_outage', failures = 1, deferred_by = 'backoff', next_refresh_at = now() + interval '9 minutes'")],
    "stale": [ROW.format("last_proved_at = now() - interval '3 days'")],
    "refused_before": [*NO_REFRESH, REFUSED],
    "grant_ends": [TOKEN.format("grant_ends_at = now() + interval '6 days'")],
    "idle_ends": [TOKEN.format("idle_ends_at = now() + interval '6 days'")],
    "secret_ends": ["update vestal.app set secret_ends_on = current_date + 6 where client_id = %s"],
    "secret_lasts": ["update vestal.app set secret_ends_on = current_date + 8 where client_id = %s"],
    "gate": [],  # it is everybody's: see below
}


def read_table():
    for number, line in enumerate((TREE / "tests/golden/health.eval").read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            left, _, right = line.rpartition("->")
            yield pytest.param(*(word.strip() for word in left.split("|")), tuple(right.split()), id=f"line{number}")


def fault_of(word):
    status, _, body = word.partition(" ")
    if status == "!hangs":
        return {"mode": "hang"}
    status, _, patience = status.partition("+")
    headers = {"Retry-After": patience} if patience else {}
    return {"mode": "status", "status": int(status), "headers": headers, "body": json.loads(body) if body[:1] in "{[" and body else body}


@pytest.mark.parametrize("provider, before, probe, renewal, again, after", read_table())
def test_what_an_answer_means(place, provider, before, probe, renewal, again, after):  # noqa: F811
    connection = place.own(provider)
    asked, refreshes = probes(connection), len(connection.books().asked)
    for statement in BEFORE[before]:
        place.sql(statement, connection.id)
    for word in (probe, again):
        if word not in ("ok", "-"):
            probe_fault(connection, **fault_of(word))
    if renewal not in ("ok", "-"):
        connection.fault(**fault_of(renewal))
    if before == "gate":
        place.sql("update vestal.provider_state set state = 'open', retry_at = now() + interval '1 minute'"
                  " where provider = %s and app_id is null", provider)  # fmt: skip
    data = check(connection)
    assert (data["checked"], data["unhealthy"], len(data["reports"])) == (1, int(after[0] != "healthy"), 1), data
    assert verdict(data["reports"][0]) == after
    place.calm()  # so that the gates that the renewals' faults count for say nothing
    assert before == "gate" or connection.verdict() == after
    assert probes(connection) - asked == (probe != "-") + (again != "-"), "who has nothing to ask, asks nobody"
    assert len(connection.books().asked) - refreshes == (renewal != "-"), "only what the probe found dead is renewed"


# --- what stands behind it

def test_a_good_probe_is_a_dated_proof(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.connection set last_proved_at = now() - interval '20 hours' where client_id = %s", connection.id)
    before = connection.health()["lastProvedAt"]
    report = check(connection)["reports"][0]
    assert report["lastProvedAt"] > before and report["lastProvedAt"] == connection.health()["lastProvedAt"]
    assert report["generation"] == 1 and len(connection.books().mints) == 0, "proving renews nothing"
    probe_fault(connection, **AWAY)
    assert check(connection)["reports"][0]["lastProvedAt"] == report["lastProvedAt"], "no answer is no proof"
    assert connection.health()["lastError"]["code"]


def test_two_daily_checks_that_proved_nothing_are_not_green(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.connection set last_proved_at = now() - interval '49 hours' where client_id = %s", connection.id)
    assert connection.health()["status"] == "healthy"
    place.sql("update vestal.connection set last_proved_at = now() - interval '51 hours' where client_id = %s", connection.id)
    assert connection.verdict() == ("unreachable", "our_fault", "investigate", "operator")


def test_a_renewal_ends_an_outage_and_no_fault_of_ours(place):  # noqa: F811
    """The provider is there again; but a header that its API does not take is still wrong."""
    away, fault = place.own(), place.own("zoho_calendar")
    probe_fault(away, **AWAY)
    probe_fault(fault, mode="zoho_error", error="INVALID_TICKET", status=400)
    assert check(away)["unhealthy"] == check(fault)["unhealthy"] == 1
    place.make_due(away, fault)
    for connection in (away, fault):
        place.refresh(*connection.only)
    assert away.verdict() == ("healthy", "none", "none", "none")
    assert fault.verdict() == ("unreachable", "our_fault", "investigate", "operator")
    assert place.incidents(away) == [] and place.incidents(fault) == [("open", "our_fault")]
    assert check(fault)["unhealthy"] == 0 and place.incidents(fault) == []


def test_an_unhealthy_one_opens_an_incident_and_a_good_probe_resolves_it(place):  # noqa: F811
    connection = place.own("zoho_calendar")
    probe_fault(connection, mode="zoho_error", error="INVALID_TICKET", status=400, times=2)
    for _ in range(2):
        check(connection)
        assert place.incidents(connection) == [("open", "our_fault")]
    check(connection)
    assert place.incidents(connection) == []
    assert [row["kind"] for row in messages(place, connection)] == ["incident.opened", "incident.resolved"]
    assert events(connection) == [("fault", "healthy", "unreachable"), ("proved", "unreachable", "healthy")]


def messages(place, connection):  # noqa: F811
    rows = place.sql("select json_build_object('kind', o.kind)::text from vestal.outbox o join vestal.connection c"
                     " on c.id = o.connection_id where c.client_id = %s order by o.id", connection.id)  # fmt: skip
    return [json.loads(row) for (row,) in rows]


def test_each_check_is_one_event_and_a_judgement_that_stays_is_none(place):  # noqa: F811
    connection = place.own()
    for _ in range(2):
        check(connection)
    assert events(connection) == []
    runs = [event for event in connection.events("health.checked") if not event["connection_id"]]
    assert [(run["detail"]["checked"], run["detail"]["unhealthy"], run["detail"]["proved"]) for run in runs] == [(1, 0, 1)] * 2
    assert all(run["provider"] == "zoho_crm" and run["actor"].startswith("key:") for run in runs)


def test_a_connection_that_never_worked_opens_no_incident(place):  # noqa: F811
    connection = place.own()
    place.stack.api("PUT", f"/api/oauth/clients/{connection.id}", {"providers": ["zoho_crm", "zoho_calendar"]})
    data = check(connection, provider="zoho_calendar")
    assert verdict(data["reports"][0]) == ("missing", "never_connected", "reauthorize", "administrator")
    assert place.incidents(connection) == []


def test_a_dead_token_is_replaced_everywhere(place):  # noqa: F811
    connection = place.own()
    probe_fault(connection, **DEAD)
    report = check(connection)["reports"][0]
    assert (report["generation"], report["stores"]) == (2, {"database": 2, "file": 2, "environment": 2})
    connection.whole(2)
    (event,) = connection.events("token.renewed")
    assert event["detail"]["why"] == "check"


def test_a_passive_one_is_asked_and_never_renewed(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.connection set passive = true where client_id = %s", connection.id)
    probe_fault(connection, **DEAD)
    check(connection)
    assert connection.books().asked == [] and connection.row()["state"] == "live"


def test_an_access_token_alone_is_believed_dead_the_second_time(place):  # noqa: F811
    connection = place.own()
    for statement in (*NO_REFRESH, TOKEN.format("granted_at = now() - interval '1 day'")):
        place.sql(statement, connection.id)
    for age in ("0 s", "9 minutes"):  # one outage, however often it is met, kills nobody
        place.sql("update vestal.connection set found_at = found_at - %s::interval where client_id = %s", age, connection.id)
        probe_fault(connection, **DEAD, times=2)
        assert verdict(check(connection)["reports"][0]) == ("expired", "ambiguous_refusal", "wait", "provider")
    place.sql("update vestal.connection set found_at = found_at - interval '2 minutes' where client_id = %s", connection.id)
    probe_fault(connection, **DEAD, times=2)
    assert check(connection)["reports"][0]["status"] == "invalid"
    assert place.incidents(connection) == [("open", "user_revoked")]
    probe_fault(connection, **DEAD)
    asked = probes(connection)
    check(connection)
    assert probes(connection) == asked, "a dead one is left alone"


def test_a_token_that_does_not_open_is_quarantined(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.token set access_sealed = 'x' where connection_id = %s", connection.row()["id"])
    assert verdict(check(connection)["reports"][0]) == ("quarantined", "sealed_unreadable", "investigate", "operator")
    assert place.incidents(connection) == [("open", "sealed_unreadable")] and probes(connection) == 1
    (event,) = connection.events("token.quarantined")
    assert event["generation"] == 1


# --- who may, and what of

def test_the_scope_of_a_key_binds_it(place):  # noqa: F811
    mine, other = place.own(), place.own()
    key = place.stack.new_key("operator", "--client", mine.id, "--provider", "zoho_crm")
    data = place.stack.api("POST", CHECK, {}, key=key).json["data"]
    assert [report["clientId"] for report in data["reports"]] == [mine.id] and data["checked"] == 1
    before = place.stack.tables(), probes(other)
    check(other, 404, key=key).problem(404, "client_unknown")
    check(mine, 404, key=key, provider="zoho_calendar").problem(404, "client_unknown")
    assert place.stack.api("POST", CHECK, {"provider": "zoho_calendar"}, key=key).json["data"]["checked"] == 0
    check(mine, 404, clientId="nobody-at-all").problem(404, "client_unknown")
    assert (place.stack.tables(), probes(other)) == before


def test_who_may_check(place):  # noqa: F811
    connection = place.own()
    before = place.stack.tables()
    for role in ("auditor", "service"):
        key = place.stack.new_key(role, "--client", connection.id)
        before = place.stack.tables()
        check(connection, 403, key=key).problem(403, "forbidden")
        assert place.stack.tables() == before
    check(connection, 200, key=place.stack.new_key("operator", "--client", connection.id))


@pytest.mark.parametrize("body, field", [
    ({"clientId": "-"}, "clientId"), ({"clientId": 7}, "clientId"), ({"provider": "no_such"}, "provider"),
    ({"provider": None}, "provider"), ({"all": True}, "all"), ({"clientId": "a\u0007"}, "clientId")])  # fmt: skip
def test_bad_input_is_named_and_changes_nothing(place, body, field):  # noqa: F811
    before = place.stack.tables()
    assert place.stack.api("POST", CHECK, body).problem(400, "invalid_input") == [field]
    assert place.stack.tables() == before


def test_without_a_body_all_are_checked(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.connection set checked_at = now() where client_id <> %s", connection.id)
    probe_fault(connection, mode="status", status=404)
    answer = place.stack.api("POST", CHECK)
    data, total = answer.json["data"], place.stack.api("GET", "/divine/oauth/health", limit=1).json["data"]["total"]
    assert answer.json["success"] is True and data["checked"] + data.get("remaining", 0) == total
    (report,) = [report for report in data["reports"] if report["clientId"] == connection.id]
    assert verdict(report) == ("unreachable", "our_fault", "investigate", "operator")
    assert data["unhealthy"] == sum(report["status"] != "healthy" for report in data["reports"])


# --- quota, gates, time

def test_probes_never_shut_out_renewals(place):  # noqa: F811
    """The API is away, the accounts server is not: gates stay closed, and one incident of the provider speaks for many."""
    provider, crowd = "sim_crowd", place.connect_many("sim_crowd", 12)
    place.calm(provider)
    place.sim.control("faults", {"at": "probe", "client_id": place.app(provider), "mode": "status", "status": 503, "times": 0})
    asked = probes(crowd[0])
    data = place.stack.api("POST", CHECK, {"provider": provider}).json["data"]
    assert data["unhealthy"] >= 12 and probes(crowd[0]) - asked < 5 + 8, "a provider that does not answer is left alone"
    assert {verdict(report) for report in data["reports"]} == {("unreachable", "provider_outage", "wait", "provider")}
    gate = place.gate(provider)
    assert (gate["state"], gate["failures"]) == ("closed", 0)
    assert place.incidents(provider=provider) == [("open", "provider_outage")] and place.incidents(*crowd) == []
    place.make_due(crowd[0])
    place.refresh(*crowd[0].only)
    assert crowd[0].row()["generation"] == 2 and crowd[0].health()["status"] == "healthy"
    assert place.incidents(provider=provider) == [("open", "provider_outage")], "the others are still away"
    place.sim.control("faults", method="DELETE")
    data = place.stack.api("POST", CHECK, {"provider": provider}).json["data"]
    assert data["unhealthy"] == 0
    place.refresh(*crowd[0].only)
    assert place.incidents(provider=provider) == []


def test_a_check_renews_within_its_share_of_the_quota(place):  # noqa: F811
    connection = place.own()
    for _ in range(6):
        probe_fault(connection, **DEAD)
        check(connection)
    assert len(connection.books().mints) == 5, "half of ten is nobody's but the schedule's"
    assert connection.row()["deferred_by"] is None
    place.make_due(connection)
    place.refresh(*connection.only)
    assert len(connection.books().mints) == 6 and connection.health()["status"] == "healthy"


def test_a_check_that_has_no_time_says_what_is_left_and_goes_on_there(place):  # noqa: F811
    provider, crowd = "sim_mass", place.connect_many("sim_mass", 10)
    place.calm(provider)
    total = place.stack.api("GET", "/divine/oauth/health", provider=provider, limit=1).json["data"]["total"]
    place.sql("update vestal.connection set checked_at = now() where provider = %s and client_id <> all (%s)",
              provider, [connection.id for connection in crowd])  # fmt: skip
    place.sim.control("faults", {"at": "probe", "client_id": place.app(provider), "mode": "delay", "delay_ms": 400, "times": 0})

    def run(*options):
        return place.refresh("--provider", provider, "--json", *options, mode="--check", expect=None).json

    done = run("--concurrency", "1", "--deadline", "1")
    assert 0 < done["checked"] < 10 and done["remaining"] == total - done["checked"] and done["cutShort"] is True, done
    seen = {connection.id for connection in crowd if found(connection)["checked_at"]}
    assert len(seen) == done["checked"]
    done = run("--concurrency", "1", "--deadline", "1")
    again = {connection.id for connection in crowd if found(connection)["checked_at"]}
    assert len(again) == len(seen) + done["checked"], "others than before"
    place.sim.control("faults", method="DELETE")
    done = run("--deadline", "60")
    assert (done["checked"], done["remaining"], done["cutShort"]) == (total, 0, False)


def test_two_checks_at_once_prove_the_same(place):  # noqa: F811
    connection = place.own()
    probe_fault(connection, **DEAD)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place.stack.api("POST", CHECK, {"clientId": connection.id}), range(4)))
    told = Counter(answer.status for answer in answers)
    assert set(told) <= {200, 503} and told[200] >= 1, answers
    for answer in answers:
        if answer.status == 503:
            answer.problem(503, "busy")
            assert int(answer.headers["Retry-After"]) > 0
    assert len(connection.books().mints) <= 1, "one renewal, however many find it dead"
    assert check(connection)["unhealthy"] == 0


# --- whose it is


def test_a_check_notices_another_account(place):  # noqa: F811
    """A token that lives, but not for the account that was let in, is somebody's business; no good probe hides it."""
    mine, other = place.own(), place.own()
    check(mine)
    own = found(mine)["account_fingerprint"]
    assert own and own != found(other)["account_fingerprint"]
    pin = "update vestal.connection set account_fingerprint = %s where client_id = %s"
    place.sql(pin, found(other)["account_fingerprint"], mine.id)
    for _ in range(2):
        report = check(mine)["reports"][0]
        assert verdict(report) == ("unreachable", "our_fault", "investigate", "operator")
        assert report["lastError"]["code"] == "account_changed" and place.incidents(mine) == [("open", "our_fault")]
    place.sql(pin, own, mine.id)
    assert check(mine)["unhealthy"] == 0 and place.incidents(mine) == []
    place.sql(pin, None, mine.id)
    check(mine)
    assert found(mine)["account_fingerprint"] == own, "what nobody had pinned is pinned"


def test_who_does_not_say_whose_it_is_is_believed(place):  # noqa: F811
    connection = place.own()
    connection.sim.control("faults", {"at": "identity", "client_id": connection.app_id, **AWAY})
    assert check(connection)["unhealthy"] == 0 and found(connection)["account_fingerprint"]


# --- without a probe


def test_without_a_probe_a_token_is_introspected(place, tmp_path):  # noqa: F811
    redirect = f"{place.stack.env['VESTAL_URL']}/api/oauth/callback/{OIDC}"
    secret = f"{MARKER}{secrets.token_hex(12)}"
    oidc = OidcProvider(install(TREE / "build/oidc"), tmp_path, place.oidc_port, [redirect], secret)
    try:
        place.stack.ctl("app", "set", OIDC, "--client-id", oidc.client_id, "--client-secret-file", "-",
                        "--redirect-uri", redirect, stdin=secret + "\n")  # fmt: skip
        tenant = OidcTenant((place.stack, oidc), OIDC)
        tenant.connect()
        data = place.stack.api("POST", CHECK, {"clientId": tenant.id}).json["data"]
        assert verdict(data["reports"][0]) == ("healthy", "none", "none", "none")
        (event,) = [row for row in place.stack.audit(client_id=tenant.id, action="health.checked")]
        assert event["detail"]["proved"] == 1, "it was asked, not believed"
    finally:
        oidc.stop()


def test_without_both_the_row_is_all_there_is(place):  # noqa: F811
    connection, folder = place.connect("sim_calm"), place.stack.data / "blind"
    conf = Path(place.stack.env["VESTAL_CONF"]).read_text()
    (known,) = re.findall(r"^provider_dir *= *(.*)$", conf, re.M)
    definition = json.loads((Path(known) / "sim_calm.json").read_text())
    del definition["probe"]
    folder.mkdir(mode=0o755)
    (folder / "sim_calm.json").write_text(json.dumps(definition))
    asked = probes(connection)
    done = place.refresh(*connection.only, "--json", mode="--check", provider_dir=folder).json
    assert done["counts"]["by_row"] == done["checked"] == 1 and probes(connection) == asked
    assert connection.health()["status"] == "healthy"


# --- vestal-refresh --check


def newest_run(place):  # noqa: F811
    ((text,),) = place.sql("select row_to_json(r)::text from vestal.refresh_run r order by id desc limit 1")
    return json.loads(text)


def test_a_run_checks_all_and_tells_it(place):  # noqa: F811
    good, bad, dead = (place.own() for _ in range(3))
    probe_fault(bad, mode="status", status=404)
    probe_fault(dead, **DEAD)
    done = place.refresh("--provider", "zoho_crm", "--json", "--deadline", "120", mode="--check", expect=None).json
    total = place.stack.api("GET", "/divine/oauth/health", provider="zoho_crm", limit=1).json["data"]["total"]
    assert (done["mode"], done["dryRun"], done["checked"], done["remaining"], done["cutShort"]) == ("check", False, total, 0, False)
    assert sum(done["counts"].values()) == total and done["counts"]["renewed"] == 1
    told = {row["clientId"]: row for row in done["connections"]}
    assert good.id not in told and dead.id not in told and len(told) == done["unhealthy"]
    assert told[bad.id] | {"lost": 1} == {
        "clientId": bad.id, "provider": "zoho_crm", "outcome": "fault", "status": "unreachable", "cause": "our_fault",
        "action": "investigate", "owner": "operator", "code": "wrong_address", "generation": 1, "lost": 1}  # fmt: skip
    run = newest_run(place)
    assert (run["id"], run["mode"], run["exit_code"], run["counts"]["checked"]) == (done["runId"], "check", done["exitCode"], total)
    (event,) = [row for row in place.stack.audit(action="health.checked", request_id=f"run-{run['id']}") if not row["connection_id"]]
    assert event["actor"] == "system:refresh" and event["detail"]["checked"] == total


def test_a_pipe_gets_a_line_each(place):  # noqa: F811
    connection = place.own()
    done = place.refresh(*connection.only, mode="--check")
    assert done.out.split("\n") == [f"{connection.id}\tzoho_crm\tproved\tnone\t-\t1\thealthy\tnone\tnone", ""]
    place.sql(BEFORE["grant_ends"][0], connection.id)
    line, warning, _ = place.refresh(*connection.only, mode="--check").out.split("\n")
    assert line.endswith("\texpiring\treauthorize\tadministrator")
    assert warning.split("\t")[:3] == [connection.id, "zoho_crm", "grant_ends"]


def test_a_person_sees_how_far_a_check_is(place):  # noqa: F811
    connection = place.own()
    master, slave = pty.openpty()
    process = subprocess.Popen([f"{place.stack.env['VESTAL_BIN']}/vestal-refresh", "--check", *connection.only],
                               env=place.environment(), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            more = os.read(master, 4096)
        except OSError:
            break
        shown += more
    os.close(master)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "proved" in text and "the provider takes the token" in text and "check run" in text


def test_who_needs_a_person_is_exit_2(place):  # noqa: F811
    connection = place.own("sim_quick")
    probe_fault(connection, **DEAD)
    connection.fault(mode="zoho_error", error="invalid_code")
    done = place.refresh(*connection.only, "--json", mode="--check", expect=2).json
    assert done["needPerson"]["reauthorize"] == 1 and done["exitCode"] == 2 and done["counts"]["refused"] == 1
    place.calm()


def test_a_dry_check_asks_nobody_and_changes_nothing(place):  # noqa: F811
    connection, dead = place.own(), place.own()
    place.sql(BEFORE["invalid"][0], dead.id)
    before, asked = place.stack.tables(), probes(connection)
    told = place.refresh(*connection.only, "--dry-run", "--json", mode="--check", expect=0).json
    assert [(row["clientId"], row["would"], row["why"]) for row in told["connections"]] == [(connection.id, "probe", "check")]
    told = place.refresh(*dead.only, "--dry-run", "--json", mode="--check", expect=2).json
    assert [(row["would"], row["why"]) for row in told["connections"]] == [("leave", "invalid")]
    assert told["counts"] == {"probe": 0, "leave": 1, "wait": 0} and told["mode"] == "check"
    assert place.stack.tables() == before and probes(connection) == asked


def test_the_database_goes_away_during_a_check(place):  # noqa: F811
    """The run fails, and says so; nothing was half written, and the next one does it all."""
    connection = place.own()
    probe_fault(connection, mode="hang")
    run = place.start(*connection.only, "--json", mode="--check", **{"provider_timeout_s": 30, "lease_s": 60})
    connection.sim.control("wait", {"at": "hang", "count": 1, "client_id": connection.app_id, "timeout_s": 10})
    with place.postgres.stopped():
        place.sim.control("faults", method="DELETE")
        done = run.wait()
    assert done.code == 1 and done.json["error"] in ("database_unavailable", "database_timeout"), done
    eventually(lambda: place.stack.api("GET", "/readyz", key=None).status == 200, 30)
    assert found(connection)["checked_at"] is None
    assert check(connection)["unhealthy"] == 0


# --- what ends before long


def forecast(place, connection):  # noqa: F811
    told = place.refresh(*connection.only, "--json", mode="--check", expect=None).json["forecast"]
    seen = json.loads(place.stack.ctl("health", "--json", check=False).stdout)["forecast"]
    own = {row["what"] for row in seen if row["clientId"] == connection.id or (row["what"] == "grants_used" and told)}
    assert own == {row["what"] for row in told}
    return told


def test_ends_are_told_seven_days_ahead(place):  # noqa: F811
    connection = place.own()
    assert forecast(place, connection) == []
    place.sql(TOKEN.format("grant_ends_at = now() + interval '8 days', idle_ends_at = now() + interval '8 days'"), connection.id)
    place.sql(BEFORE["secret_lasts"][0], connection.id)
    assert forecast(place, connection) == []
    place.sql(TOKEN.format("grant_ends_at = now() + interval '6 days 12 hours', idle_ends_at = now() + interval '5 hours'"), connection.id)
    place.sql(BEFORE["secret_ends"][0], connection.id)
    told = {row["what"]: row for row in forecast(place, connection)}
    assert set(told) == {"grant_ends", "idle_ends", "secret_ends"}
    assert "ends in 6 days" in told["grant_ends"]["text"] and "ends within a day" in told["idle_ends"]["text"]
    assert told["secret_ends"]["at"].endswith("T00:00:00.000Z") and "vestalctl app set" in told["secret_ends"]["text"]
    place.sql("update vestal.app set secret_ends_on = current_date - 1 where client_id = %s", connection.id)
    assert "has ended" in {row["what"]: row for row in forecast(place, connection)}["secret_ends"]["text"]


def test_the_secret_of_the_nearest_app_counts(place):  # noqa: F811
    """Where the app is registered in a connection's own data centre too, that one's date counts."""
    connection = place.own()
    place.sql("update vestal.app set secret_ends_on = current_date + 6, datacenter = 'eu' where client_id = %s", connection.id)
    assert connection.health()["status"] == "expiring"
    place.sql("insert into vestal.app (provider, client_id, datacenter, oauth_client_id, secret_sealed, redirect_uri)"
              " select provider, client_id, 'us', oauth_client_id, secret_sealed, redirect_uri from vestal.app"
              " where client_id = %s", connection.id)  # fmt: skip
    assert connection.health()["status"] == "healthy"


def test_a_cap_that_is_nearly_used_up_is_told(place):  # noqa: F811
    connection = place.own()
    row = found(connection)

    def add(count, ended_by="authorize.completed"):
        place.sql("""insert into vestal.token_history select t.connection_id, -(g + (select count(*) from vestal.token_history h
            where h.connection_id = t.connection_id)), t.access_sealed, t.refresh_sealed, t.access_fingerprint, 'fp-' || g || %s,
            t.token_type, t.issued_at, t.expires_at, t.granted_at, null, null, now(), %s, 'test', null
            from vestal.token t, generate_series(1, %s) g where t.connection_id = %s""", ended_by, ended_by, count, row["id"])  # fmt: skip

    add(14)
    add(9, "token.removed")
    assert forecast(place, connection) == [], "fifteen of twenty; what was revoked does not count"
    add(1, "token.override")
    (warning,) = forecast(place, connection)
    assert (warning["what"], warning["inUse"], warning["replaced"], warning["most"]) == ("grants_used", 1, 15, 20)


def test_a_cap_counts_the_account_over_all_its_clients(place):  # noqa: F811
    """The provider counts per user and app, however many of our clients share them."""
    crowd = place.connect_many("sim_noisy", 16)
    shared = found(crowd[0])["account_fingerprint"]
    ids = [connection.id for connection in crowd]
    place.sql("update vestal.connection set account_fingerprint = %s where client_id = any (%s)", shared, ids[:15])
    assert forecast(place, crowd[0]) == []
    place.sql("update vestal.connection set account_fingerprint = %s where client_id = any (%s)", shared, ids)
    (warning,) = forecast(place, crowd[0])
    assert (warning["clientId"], warning["inUse"], warning["replaced"], warning["most"]) == (crowd[0].id, 16, 0, 20)


# --- vestalctl health


def test_a_person_reads_how_old_a_proof_is(place):  # noqa: F811
    connection = place.own()
    place.sql("update vestal.connection set last_proved_at = now() - interval '12 minutes 30 seconds' where client_id = %s", connection.id)
    (line,) = [line for line in place.stack.ctl("health", check=False).stdout.splitlines() if line.startswith(connection.id)]
    assert "12 min ago" in line and "healthy" in line


def test_vestalctl_asks_first(place):  # noqa: F811
    connection = place.own()
    probe_fault(connection, mode="status", status=404)
    runs = newest_run(place)["id"]
    told = json.loads(place.stack.ctl("health", "--check", "--json", check=False).stdout)
    (report,) = [row for row in told["connections"] if row["clientId"] == connection.id]
    assert verdict(report) == ("unreachable", "our_fault", "investigate", "operator")
    run = newest_run(place)
    assert run["id"] > runs and run["mode"] == "check" and run["counts"]["checked"] == told["total"]
    check(connection)


def test_nothing_leaked(place):  # noqa: F811
    """Runs last in this file, over all that it has caused."""
    tokens = place.sim.ledger()["tokens"]
    values = {kind: {row["value"] for row in tokens if row["kind"] == kind} for kind in ("access", "refresh")}
    wanted = leaks.needles(values | {"secret": {MARKER}})
    assert leaks.search_files(wanted, [*place.stack.log_files(), place.state]) == set()
