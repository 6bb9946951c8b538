"""Does the simulator fail on command, and only then? Faults, control, the wire, the copies."""

import asyncio
import json
import re
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from sim_harness import HOSTS, PROGRAM, SCOPES

# --- faults


def test_answers_that_are_not_the_providers(sim):
    [grant] = sim.issue()
    value = grant["refresh_token"]
    teapot = {"mode": "status", "status": 503, "headers": {"Retry-After": "7"}, "body": {"a": 1}}
    modes = [
        teapot, {"mode": "html"}, {"mode": "empty"}, {"mode": "redirect", "location": "http://x/"},
        {"mode": "zoho_error", "error": "general_error", "status": 500, "description": "d"},
    ]  # fmt: skip
    sim.control("faults", [{"at": "token"} | mode for mode in modes])
    answers = [sim.refresh(value) for _ in modes]
    assert [answer.status for answer in answers] == [503, 200, 400, 302, 500]
    assert answers[0].headers["Retry-After"] == "7" and answers[0].json == {"a": 1}
    assert b"maintenance" in answers[1].body and answers[2].body == b""
    assert answers[3].headers["Location"] == "http://x/"
    assert answers[4].json["error"] == "general_error"
    assert "access_token" in sim.refresh(value).json
    rows = sim.ledger()["requests"]
    assert [row["outcome"] for row in rows] == ["not_acted"] * 5 + ["ok"]
    assert sum(row["kind"] == "access" for row in sim.ledger()["tokens"]) == 2


def test_rules_choose_place_grant_and_data_centre_and_run_out(sim):
    [grant], [european] = sim.issue(), sim.issue(datacenter="eu")
    sim.control("faults", [
        {"at": "token", "grant": "refresh", "datacenter": "eu", "mode": "empty", "times": 2},
        {"at": "probe", "mode": "zoho_error", "error": "TOO_MANY_REQUESTS", "times": 0},
    ])  # fmt: skip
    assert "access_token" in sim.refresh(grant["refresh_token"]).json
    assert "access_token" in sim.exchange(sim.consent(datacenter="eu")["code"], "eu").json
    statuses = [sim.refresh(european["refresh_token"], "eu").status for _ in range(3)]
    assert statuses == [400, 400, 200]
    for _ in range(3):
        assert sim.probe(grant["access_token"]).json["code"] == "TOO_MANY_REQUESTS"
    assert [rule["hits"] for rule in sim.control("faults", method="GET")] == [2, 3]
    sim.control("faults", method="DELETE")
    assert sim.probe(grant["access_token"]).status == 200
    assert sim.control("faults", method="GET") == []


def test_rules_and_waiting_for_one_client(sim):
    sim.client("1000.A", client_secret="s3")
    [mine], [others] = sim.issue(client_id="1000.A"), sim.issue()
    sim.control("faults", [{"at": "token", "client_id": "1000.A", "mode": "empty", "times": 0}])
    assert "access_token" in sim.refresh(others["refresh_token"]).json
    assert sim.refresh(mine["refresh_token"], client_id="1000.A").status == 400
    assert sim.control("faults", method="GET")[0]["client_id"] == "1000.A"
    never = {"at": "token", "count": 2, "timeout_s": 0, "client_id": "1000.A"}
    assert sim.control("wait", never, expect=504) == {"count": 1}
    assert sim.control("wait", never | {"client_id": None}, expect=400)
    sim.control("faults", {"at": "token", "client_id": 7, "mode": "empty"}, expect=400)


def test_drop_before_leaves_nothing_done_and_drop_after_leaves_all_done(sim):
    sim.control("settings", {"rotation": "strict"})
    [grant] = sim.issue()
    sim.control("faults", [{"at": "token", "mode": f"drop_{when}"} for when in ("before", "after")])
    sim.dropped(grant["refresh_token"])
    assert sim.state(grant["refresh_token"]) == "live"
    sim.dropped(grant["refresh_token"])
    assert sim.state(grant["refresh_token"]) == "rotated"
    rows = [(r["fault"], r["outcome"], r["answered"]) for r in sim.ledger()["requests"]]
    assert rows == [("drop_before", "not_acted", False), ("drop_after", "ok", False)]
    assert sim.refresh(grant["refresh_token"]).json == {"error": "invalid_code"}


def test_spoiled_successes(sim):
    [grant] = sim.issue()
    sim.control("faults", [
        {"at": "token", "mode": "broken_json"},
        {"at": "token", "mode": "success_without", "fields": ["expires_in", "scope"]},
        {"at": "token", "override": {"api_domain": "http://evil.example", "refresh_token": ""}},
        {"at": "token", "mode": "override", "fields": {"access_token": None}},
    ])  # fmt: skip
    broken = sim.refresh(grant["refresh_token"])
    assert broken.status == 200 and broken.headers["Content-Type"].startswith("application/json")
    with pytest.raises(ValueError):
        broken.json
    left = set(sim.refresh(grant["refresh_token"]).json)
    assert left == {"access_token", "api_domain", "token_type"}
    body = sim.refresh(grant["refresh_token"]).json
    assert body["api_domain"] == "http://evil.example" and body["refresh_token"] == ""
    assert sim.probe(body["access_token"]).status == 200
    assert sim.refresh("1000.x.y").json == {"error": "invalid_code"}
    assert sum(row["kind"] == "access" for row in sim.ledger()["tokens"]) == 4


def test_slow_delay_and_huge(sim):
    [grant] = sim.issue()
    sim.control("faults", [
        {"at": "token", "mode": "slow", "interval_ms": 1},
        {"at": "token", "mode": "delay", "delay_ms": 150},
        {"at": "token", "mode": "huge", "megabytes": 3},
        {"at": "token", "mode": "huge"},
    ])  # fmt: skip
    for least_s in (0.3, 0.15):
        start = time.monotonic()
        assert "access_token" in sim.refresh(grant["refresh_token"]).json
        assert time.monotonic() - start >= least_s
    whole = sim.refresh(grant["refresh_token"])
    assert len(whole.body) == 3 * 1024 * 1024 and set(whole.json) == {"filler"}
    with sim.open_refresh(grant["refresh_token"]) as caller:
        assert sum(len(caller.recv(65536)) for _ in range(100)) > 100_000
        assert sim.ask("/oauth/serverinfo").status == 200


def test_a_huge_answer_nobody_reads_is_not_held_in_memory(sim):
    def peak_kib():
        status = Path(f"/proc/{sim.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])

    before = peak_kib()
    sim.control("faults", {"at": "token", "mode": "huge", "megabytes": 200})
    with sim.open_refresh("1000.x.y"):
        sim.control("wait", {"at": "token", "count": 1})
        for _ in range(100):
            sim.ask("/oauth/serverinfo")
    assert peak_kib() - before < 20 * 1024


def test_hanging_requests_block_nobody_and_go_on_when_cleared(sim):
    [grant] = sim.issue()
    sim.control("faults", {"at": "token", "mode": "hang", "times": 2})
    with sim.open_refresh(grant["refresh_token"]) as stays:
        with sim.open_refresh(grant["refresh_token"]):
            assert sim.control("wait", {"at": "hang", "count": 2}) == {"count": 2}
            assert sim.control("hang-count", method="GET") == {"hanging": 2}
        assert "access_token" in sim.refresh(grant["refresh_token"]).json
        sim.control("faults", method="DELETE")
        with stays.makefile("rb") as answer:
            assert b'{"access_token":' in answer.read()
    assert sim.control("hang-count", method="GET") == {"hanging": 0}
    rows = [(r["outcome"], r["answered"]) for r in sim.ledger()["requests"]]
    assert rows == [("ok", True), ("not_acted", False), ("ok", True)]


def test_hang_after_the_deed_and_reset_drops_it(sim):
    sim.control("settings", {"rotation": "strict"})
    [grant] = sim.issue()
    sim.control("faults", {"at": "token", "mode": "hang", "act": True, "times": 0})
    with sim.open_refresh(grant["refresh_token"]) as caller:
        sim.control("wait", {"at": "hang", "count": 1})
        assert sim.state(grant["refresh_token"]) == "rotated"
        sim.control("reset")
        assert caller.recv(1) == b""
    assert sim.ledger()["requests"] == []


def test_wait_counts_arrivals_and_says_when_they_do_not_come(sim):
    [grant] = sim.issue()
    late = {"at": "token", "count": 1, "timeout_s": 0.05}
    assert sim.control("wait", late, expect=504) == {"count": 0}
    sim.refresh(grant["refresh_token"])
    assert sim.control("wait", {"at": "token", "grant": "refresh", "count": 1}) == {"count": 1}
    sim.control("wait", {"at": "token", "grant": "code", "count": 1, "timeout_s": 0}, expect=504)


def test_slips_in_control_requests_are_refused(sim):
    for name, body in [
        ("faults", {"at": "token", "mode": "dropp"}),
        ("faults", {"at": "token", "mode": "delay"}),
        ("faults", {"at": "token", "mode": "hang", "delay_ms": 5}),
        ("faults", {"at": "tokens", "mode": "hang"}),
        ("faults", {"at": "token", "mode": "html", "datacenter": "mars"}),
        ("settings", {"rotation": "sometimes"}),
        ("settings", {"cap": "20"}),
        ("settings", {"latency": 5}),
        ("clients", {"client_id": "x"}),
        ("issue", {"client_id": "1000.WHO"}),
        ("consent", {"authorize_url": "http://accounts.example/oauth/v2/auth"}),
        ("reset", {"clients": True}),
    ]:
        assert sim.control(name, body, expect=400)["error"]
    sim.control("nonsense", {}, expect=404)
    assert sim.control("faults", method="GET") == []


# --- the wire


def test_keep_alive_pipelining_and_malformed_requests(sim):
    line = b"GET /oauth/serverinfo HTTP/1.1\r\nHost: sim\r\n"
    with socket.create_connection((HOSTS["us"], sim.port), timeout=15) as caller:
        caller.sendall(line + b"\r\n" + line + b"Connection: close\r\n\r\n")
        with caller.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 200 OK") == 2
    for bad in (
        b"nonsense\r\n\r\n",
        line + b"Content-Length: 99999999\r\n\r\n",
        line + b"Transfer-Encoding: chunked\r\n\r\n",
        line + b"X: " + b"x" * 20000,
    ):
        with socket.create_connection((HOSTS["us"], sim.port), timeout=15) as caller:
            caller.sendall(bad)
            assert caller.recv(12) == b"HTTP/1.1 400"


def test_five_hundred_at_once_cost_one_latency(sim):
    grants = sim.issue(user="u{n}@acme.example", count=500)
    sim.control("settings", {"latency_ms": 100})

    async def one(value):
        form = {"client_id": "1000.ACME", "client_secret": "s3", "refresh_token": value}
        body = urlencode(form | {"grant_type": "refresh_token"})
        kind = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
        reader, writer = await asyncio.open_connection(HOSTS["us"], sim.port)
        head = f"POST /oauth/v2/token HTTP/1.1\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        answer = await reader.read()
        writer.close()
        return answer

    async def all_of_them():
        return await asyncio.gather(*(one(grant["refresh_token"]) for grant in grants))

    start = time.monotonic()
    answers = asyncio.run(all_of_them())
    assert all(b'"access_token"' in answer for answer in answers)
    assert time.monotonic() - start < 10  # one after the other would be 50


# --- copies of the provider definitions


def definition(name, **more):
    hosts = {"accounts": "https://accounts.zoho.eu", "api": "https://www.zohoapis.eu"}
    table = {dc: hosts | {"calendar": "https://calendar.zoho.eu"} for dc in ("us", "eu", "sg")}
    return {
        "name": name, "title": "Zoho", "docs": "https://www.zoho.com/accounts/protocol/oauth.html",
        "authorize_url": "{accounts}/oauth/v2/auth", "token_url": "{accounts}/oauth/v2/token",
        "datacenters": table, "default_datacenter": "us", "scopes": SCOPES.split(","),
        "probe": {"url": "{api}/crm/v8/users?type=CurrentUser", "expect": "/users"},
    } | more  # fmt: skip


def write_copies(folder, **more):
    builtin = folder / "built in"
    builtin.mkdir()
    for name in ("zoho_crm", "zoho_calendar"):
        (builtin / f"{name}.json").write_text(json.dumps(definition(name, **more)))
    command = [PROGRAM, "providers", "--port", "8123", "--builtin", builtin, "--out", folder / "o"]
    return subprocess.run(command, capture_output=True, text=True)


def test_copies_differ_only_in_table_and_permission(tmp_path):
    run = write_copies(tmp_path)
    assert run.returncode == 0 and run.stdout == "" and "sg" in run.stderr
    for name in ("zoho_crm", "zoho_calendar"):
        copy = json.loads((tmp_path / "o" / f"{name}.json").read_text())
        here = {dc: f"http://{HOSTS[dc]}:8123" for dc in ("us", "eu")}
        assert copy.pop("allow_loopback_http") is True
        assert copy.pop("datacenters") == {
            dc: {"accounts": url, "api": url, "calendar": url} for dc, url in here.items()
        }
        original = definition(name)
        del original["datacenters"]
        assert copy == original


@pytest.mark.parametrize(
    "fault",
    [
        {"token_url": "https://accounts.zoho.com/oauth/v2/token"},
        {"identity": {"url": "https://accounts.zoho.com/oauth/user/info"}},
        {"default_datacenter": "sg"},
        {"datacenters": {}},
    ],
)
def test_a_copy_that_could_reach_the_real_provider_is_not_written(tmp_path, fault):
    run = write_copies(tmp_path, **fault)
    assert run.returncode == 1 and "zoho_crm.json" in run.stderr
    assert not (tmp_path / "o").exists()


def test_a_taken_port_is_said(server):
    command = [PROGRAM, "serve", "--port", str(server.port)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert run.returncode == 1 and "in use" in run.stderr and run.stdout == ""
