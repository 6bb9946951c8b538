"""nginx before the real workers, with real limits: rates, workers that die, freeze or are gone, and who listens where."""

import concurrent.futures
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from harness import MARKER, Stack, Tenant, addresses, down, eventually, free_port, up
from test_nginx import CALLBACK, READ, SECRET_QUERY, TOKEN, check_headers, check_own_problem

RATE_PER_KEY, RATE_PER_ADDRESS, CALLBACK_BURST = 5, 15, 10
SECRETS = [("Authorization", f"Bearer vst_1_{MARKER}"), ("Cookie", f"__Host-vestal={MARKER}")]


@pytest.fixture(scope="module")
def limited(providers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("limited")
    up(folder, "--no-demo", "--port", str(free_port()), "--workers", "2", "--providers", str(providers),
       "--set", f"rate_per_key={RATE_PER_KEY}", "--set", f"rate_per_address={RATE_PER_ADDRESS}",
       "--set", "provider_timeout_s=5", "--set", "lease_s=10")  # fmt: skip
    yield Stack(folder)
    down(folder, "--remove")


@pytest.fixture
def source():
    return next(addresses)


def until_refused(send, rate, burst):
    """Sends until nginx has enough, checks that it was no sooner and no later than it should, and returns the refusal."""
    begun = time.monotonic()
    for answered in range(1000):
        answer = send()
        if answer.status == 429:
            assert burst + 1 <= answered <= burst + 2 + rate * (time.monotonic() - begun)
            return answer
    raise AssertionError("it is never refused")


# --- rates ----------------------------------------------------------------------------------------


def test_rate_of_an_address(limited, source):
    ask = lambda: limited.request("GET", "/healthz", headers=SECRETS[1:], source=source)  # noqa: E731
    answer = until_refused(ask, RATE_PER_ADDRESS, 2 * RATE_PER_ADDRESS)
    check_own_problem(answer, 429, "too_many_requests")
    assert answer.headers.get_all("Retry-After") == ["1"]
    assert limited.request("GET", "/healthz", source=next(addresses)).status == 200
    eventually(lambda: limited.request("GET", "/healthz", source=source).status == 200)


def test_rate_of_a_key_is_counted_by_address_too(limited, source):
    """Whoever knows a key's identifier cannot use up its allowance from elsewhere."""
    key, other = limited.new_key("admin", "--all-clients"), limited.new_key("admin", "--all-clients")
    identifier = key.rsplit("_", 1)[0]
    stranger = next(addresses)
    for path in (READ, f"{TOKEN}?provider=zoho_crm"):
        ask = lambda: limited.api("GET", path, key=f"{identifier}_{MARKER}", source=stranger)  # noqa: E731
        answer = until_refused(ask, RATE_PER_KEY, 2 * RATE_PER_KEY)
        check_own_problem(answer, 429, "too_many_requests")
        assert answer.headers.get_all("Retry-After") == ["1"]
        stranger = next(addresses)
    assert limited.api("GET", READ, key=key, source=source).status == 200
    until_refused(lambda: limited.api("GET", READ, key=key, source=source), RATE_PER_KEY, 2 * RATE_PER_KEY - 1)
    assert limited.api("GET", READ, key=other, source=source).status == 200


def test_rate_of_the_callback(limited, source):
    target = f"{CALLBACK}?{SECRET_QUERY}"
    answer = until_refused(lambda: limited.request("GET", target, headers=SECRETS, source=source), 10 / 60, CALLBACK_BURST)
    check_own_problem(answer, 429, "too_many_requests")
    assert answer.headers.get_all("Retry-After") == ["6"]
    assert limited.request("GET", target, source=next(addresses)).problem(400, "state_unknown") == []
    assert limited.request("GET", "/healthz", source=source).status == 200


def test_rate_of_logins(limited, source):
    login = lambda method: limited.request(method, "/admin/session", b"{}", headers=SECRETS[1:], source=source)  # noqa: E731
    for _ in range(CALLBACK_BURST + 5):  # to look is no login
        assert login("GET").status != 429
    answer = until_refused(lambda: login("POST"), 10 / 60, CALLBACK_BURST)
    check_own_problem(answer, 429, "too_many_requests")
    assert answer.headers.get_all("Retry-After") == ["6"]


# --- the worker's own answers, and who a caller is --------------------------------------------------


def test_workers_problems_pass(limited, source):
    for method, path, headers, status, slug in [
        ("GET", "/no/such/path", SECRETS, 404, "not_found"),
        ("PATCH", READ, SECRETS, 405, "method_not_allowed"),
        ("GET", READ, SECRETS, 401, "unauthenticated"),
        ("GET", f"{TOKEN}?{SECRET_QUERY}", SECRETS, 401, "unauthenticated"),
        ("GET", f"{READ}?limit=none", [("Authorization", f"Bearer {limited.key}")], 400, "invalid_input"),
        ("GET", f"{TOKEN}?provider=none", [("Authorization", f"Bearer {limited.key}")], 400, "invalid_input"),
        ("GET", f"{TOKEN}?provider=zoho_crm", [("Authorization", f"Bearer {limited.key}")], 404, "client_unknown"),
    ]:  # fmt: skip
        answer = limited.request(method, path, headers=headers, source=source)
        check_headers(answer)
        answer.problem(status, slug)
        assert ("Allow" in answer.headers) == (status == 405) and ("WWW-Authenticate" in answer.headers) == (status == 401)


def test_a_worker_without_database_says_so_through_nginx(limited, source):
    """503 of a worker is not 503 of nginx, neither where answers are intercepted nor elsewhere."""
    limited.sql("alter role vestal_worker nologin")
    backends = "from pg_stat_activity where usename = 'vestal_worker'"
    limited.sql(f"select pg_terminate_backend(pid) {backends}")
    eventually(lambda: limited.sql(f"select count(*) {backends}") == [(0,)])
    try:
        for path in (READ, f"{TOKEN}?provider=zoho_crm", f"{CALLBACK}?{SECRET_QUERY}"):
            answer = limited.request("GET", path, headers=SECRETS, source=source)
            check_headers(answer)
            answer.problem(503, "database_unavailable")
            assert len(answer.headers.get_all("Retry-After")) == 1
    finally:
        limited.sql("alter role vestal_worker login")
    for path in (READ, "/api/oauth/authorize/none?provider=zoho_crm"):  # a worker that was refused tries again a little later
        eventually(lambda: all(limited.api("GET", path, source=next(addresses)).status != 503 for _ in range(8)))


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_forwarded_addresses_are_not_believed(limited, source, header):
    told = ("203.0.113.9" if header != "Forwarded" else "for=203.0.113.9",)
    answer = limited.request("GET", READ, headers=[(header, *told), *SECRETS], source=source)
    answer.problem(401, "unauthenticated")
    (event,) = limited.audit(request_id=answer.headers["X-Request-Id"])
    assert event["action"] == "auth.failed" and event["address"] == source
    for value in (*told, "127.0.0.1", "::1"):
        limited.request("GET", "/healthz", headers=[(header, value)], source=source).problem(403, "forbidden")
    assert limited.request("GET", "/healthz", source=source).status == 200


# --- workers that die, freeze, or are not there -----------------------------------------------------


def reconfigure(stack, waits):
    """Lets nginx wait so long for workers, and waits until only processes that know it serve."""
    saved = {}
    for file in (stack.data / "nginx/vestal.conf", stack.data / "nginx/vestal/fastcgi_vestal.conf"):
        saved[file] = file.read_text()
        file.write_text(re.sub(r"fastcgi_read_timeout \d+s", f"fastcgi_read_timeout {waits}", saved[file]))
    reload(stack)
    return saved


def reload(stack):
    master = stack.pid("nginx")
    children = Path(f"/proc/{master}/task/{master}/children")
    before = set(children.read_text().split())
    os.kill(master, signal.SIGHUP)
    eventually(lambda: children.read_text().split() and not before & set(children.read_text().split()))


def test_workers_killed_over_a_request(limited, sim):
    tenant = Tenant(limited, sim)
    target = tenant.consent(tenant.begin())
    sim.control("faults", {"at": "token", "mode": "hang"})
    with concurrent.futures.ThreadPoolExecutor() as pool:
        asked = pool.submit(tenant.callback, target)
        sim.control("wait", {"at": "hang", "count": 1})
        for pid in limited.workers("flow"):
            os.kill(pid, signal.SIGKILL)
        answer = asked.result()
    sim.control("faults", method="DELETE")
    check_own_problem(answer, 502, "bad_gateway")
    tenant.callback(target).problem(400, "state_unknown")  # the code may have been used; a new flow helps
    tenant.connect()


def test_frozen_workers(limited, source):
    saved = reconfigure(limited, "1s")
    frozen = limited.workers()
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        for path in (READ, f"{TOKEN}?{SECRET_QUERY}", f"{CALLBACK}?{SECRET_QUERY}"):
            check_own_problem(limited.request("GET", path, headers=SECRETS, source=source), 504, "gateway_timeout")
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        for file, text in saved.items():
            file.write_text(text)
        reload(limited)
    assert limited.api("GET", READ, source=source).status == 200
    assert set(limited.workers()) == set(frozen)


def test_no_workers(limited, source):
    os.kill(limited.pid("supervisor"), signal.SIGTERM)
    eventually(lambda: not limited.workers() and not limited.supervisors())
    for method in ("GET", "POST"):
        for path in (READ, f"{TOKEN}?{SECRET_QUERY}", f"{CALLBACK}?{SECRET_QUERY}"):
            answer = limited.request(method, path, headers=SECRETS, source=source)
            check_own_problem(answer, 503, "unavailable")
            assert answer.headers.get_all("Retry-After") == ["2"]
    assert up(limited.folder, "--no-demo").returncode == 0
    assert limited.api("GET", READ, source=next(addresses)).status == 200


# --- who may come in ------------------------------------------------------------------------------


def processes(data):
    """This stack's, by their mark or by what they hold open."""
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            marked = f"STACK_OF={data}".encode() in (entry / "environ").read_bytes().split(b"\0")
            links = [os.readlink(link) for link in os.scandir(entry / "fd")]
        except OSError:
            continue
        if marked or any(link.startswith(f"{data}/") for link in links):
            yield entry.name, (entry / "comm").read_text().strip(), links


def test_nobody_listens_but_nginx(limited):
    listening = {}  # inode: port
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" or table.startswith("udp"):
                listening[f"socket:[{words[9]}]"] = int(words[1].rsplit(":", 1)[1], 16)
    found = {(name, listening[link]) for _, name, links in processes(limited.data) for link in links if link in listening}
    assert found == {("nginx", limited.url.port)}
    seen = {name for _, name, _ in processes(limited.data)}
    assert {"nginx", "postgres", "python3"} <= seen
    assert "vestal-fcgi" in seen or os.geteuid() != 0  # nobody but root may look into a worker


def test_sockets_are_closed_to_others(limited):
    owner = limited.data.joinpath("sock").stat().st_uid
    for path in map(Path, limited.env["VESTAL_SOCKETS"].split()):
        about = path.stat()
        assert stat.S_ISSOCK(about.st_mode) and stat.S_IMODE(about.st_mode) == 0o660 and about.st_uid == owner
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    if os.geteuid() != 0 or owner == 2:
        pytest.skip("only root can try it as somebody else")
    tried = subprocess.run(
        ["setpriv", "--reuid=bin", "--regid=bin", "--clear-groups", "/usr/bin/python3", "-c",
         "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])", limited.env["VESTAL_SOCKETS"].split()[0]],
        capture_output=True, text=True)  # fmt: skip
    assert "PermissionError" in tried.stderr


def test_the_rest_of_a_request_does_not_come(limited, source):
    """Whoever sends half a request is hung up on, and what he sent is not logged."""
    file = limited.data / "nginx/vestal.conf"
    saved = file.read_text()
    file.write_text(re.sub(r"client_(header|body)_timeout 10s", r"client_\1_timeout 1s", saved))
    reload(limited)
    head = f"POST {CALLBACK}?{SECRET_QUERY} HTTP/1.1\r\nHost: v\r\nAuthorization: Bearer {MARKER}\r\n"
    for sent in (head, f"{head}Content-Length: 10\r\n\r\n12345"):
        with socket.create_connection(("127.0.0.1", limited.url.port), timeout=10, source_address=(source, 0)) as connection:
            connection.sendall(sent.encode())
            try:
                received = connection.recv(100)
            except ConnectionResetError:
                received = b""
            assert received == b"" or b" 408 " in received
    file.write_text(saved)
    reload(limited)


def test_no_secret_in_any_log(limited):
    """Last: at the callback alone, everything that can go wrong has gone wrong above, or does now."""
    for method, target, body, status, slug in [
        ("GET", f"{CALLBACK}?{SECRET_QUERY}&more={9000 * 'x'}", None, 414, "uri_too_long"),
        ("GET", f"{CALLBACK}/%zz?{SECRET_QUERY}", None, 400, "bad_request"),
        ("POST", f"{CALLBACK}?{SECRET_QUERY}", 65537 * b"x", 413, "payload_too_large"),
    ]:
        limited.request(method, target, body, headers=SECRETS, source=next(addresses)).problem(status, slug)
    access = Path(limited.env["VESTAL_LOG_DIR"], "access.log")
    for status in (400, 413, 429, 502, 503, 504):
        eventually(lambda: f'"path":"{CALLBACK}","status":{status}' in access.read_text())
    assert '"status":414' in access.read_text()
    logs = {path: path.read_text(errors="replace") for path in limited.log_files()}
    assert {"worker.log", "supervise.log", "nginx.log"} <= {path.name for path in logs}
    assert [path for path, text in logs.items() if MARKER in text] == []
