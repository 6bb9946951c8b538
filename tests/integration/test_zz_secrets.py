"""No secret where it does not belong. Runs last, over what the whole run has left behind.

Everything the simulator ever issued, every state, app secret, API key and key ring is looked for in all that the
stack has written, stored or said, in any form. Environment files alone hold access tokens, and nothing else.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import leaks
import pytest
from harness import MARKER, Stack, Tenant, addresses, eventually, postgres_program
from test_audit import without_audit

ACCESS_ROUTE = re.compile(r"GET /api/oauth/token/")
STATE_ROUTES = re.compile(r"GET /api/oauth/authorize/|(GET|POST) /api/zoho/emergency-reauth")


class Recorder(Stack):
    """The shared stack; remembers every answer, and every key and state it has seen."""

    def __init__(self, folder):
        super().__init__(folder)
        self.answers, self.said, self.keys = [], [], [self.key]

    def request(self, method, path, *rest, **more):
        answer = super().request(method, path, *rest, **more)
        self.answers.append((f"{method} {path}", answer.status, str(answer.headers).encode() + answer.body))
        return answer

    def ctl(self, *words, **more):
        done = super().ctl(*words, **more)
        if "create" in words:
            self.keys.append(json.loads(done.stdout)["key"])
        else:
            self.said.append((done.stdout + done.stderr).encode())
        return done

    def states(self):
        """Out of the authorization URLs that it handed out."""
        text = b"\n".join(content for _, _, content in self.answers).decode(errors="replace")
        return set(re.findall(r"[?&]state=([A-Za-z0-9_-]{43})", text))

    def send(self, line):
        """A request line as it is, with whatever comes back before nginx hangs up."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.url.port), timeout=10, source_address=(next(addresses), 0)) as caller:
            caller.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionResetError):
                while piece := caller.recv(65536):
                    answer += piece
        self.answers.append((line.decode(errors="replace"), 0, answer))


def good_flows(stack, sim):
    """Every route, as it should go; the client is left connected."""
    tenant = Tenant(stack, sim)
    tenant.connect()
    tenant.callback(tenant.consent(tenant.begin()), accept="text/html")
    service = stack.new_key("service", "--client", tenant.id)
    answer = tenant.token(key=service)
    assert answer.status == 200
    headers = [("Authorization", f"Bearer {service}"), ("If-None-Match", answer.headers["ETag"])]
    assert stack.request("GET", f"/api/oauth/token/{tenant.id}?provider=zoho_crm", headers=headers).status == 304
    stack.api("POST", f"/api/oauth/reauthorize/{tenant.id}", {"provider": "zoho_crm"})
    begun = stack.api("GET", "/api/zoho/emergency-reauth", clientId=tenant.id, provider="zoho_crm")
    assert tenant.callback(tenant.consent(begun.json["auth_url"])).status == 200
    for path in ("/divine/oauth/health", "/api/oauth/clients", "/readyz", "/healthz"):
        assert stack.api("GET", path).status == 200
    for words in (["health"], ["health", "--json"], ["config"], ["config", "--json"], ["key", "list"], ["api-key", "list"], ["doctor"]):
        stack.ctl(*words, check=False)
    return tenant


FAULTS = [{"mode": "broken_json"}, {"mode": "drop_after"}, {"mode": "html"}, {"mode": "override", "fields": {"access_token": 7}},
          {"mode": "success_without", "fields": ["access_token"]}, {"mode": "override", "fields": {"expires_in": "soon"}},
          {"mode": "redirect", "location": "https://example.com/?leak=1"}, {"mode": "zoho_error", "error": "invalid_code"}]  # fmt: skip


def failed_flows(tenant):
    """The provider fails after it has issued: the answer in which our log must not see a token."""
    for place in ("token", "probe"):
        for fault in FAULTS if place == "token" else [{"mode": "broken_json"}, {"mode": "html"}, {"mode": "drop_after"}]:
            tenant.sim.control("faults", {"at": place} | fault)
            tenant.callback(tenant.consent(tenant.begin()))
            tenant.sim.control("faults", method="DELETE")
    tenant.callback(tenant.consent(tenant.begin(), decision="deny"))
    target = tenant.consent(tenant.begin())
    with without_audit(tenant.stack, "vestal_worker"):  # PostgreSQL logs the refused statements
        assert tenant.callback(target).status == 500
        assert tenant.token().status == 500


def misplaced(stack, tenant):
    """Secrets where callers put them by mistake, or on purpose, and requests that nginx answers itself."""
    target = tenant.consent(tenant.begin())
    query = urlsplit(target).query
    access, key = tenant.issued()[-1], stack.new_key("auditor")
    source = next(addresses)
    for path in (
        f"/api/oauth/callback/zoho_crm%3F{quote(query)}", f"/api/oauth/callback/zoho_crm;{query}", f"/api/oauth/callback/zoho_crm/{query}",
        f"/nothing?{query}", f"/api/oauth/callback/nobody?{query}", f"{target}&x={'y' * 9000}", f"/divine/oauth/health?{query}",
        f"/api/oauth/token/{tenant.id}?provider=zoho_crm&access_token={access}", f"/api/oauth/clients?key={key}",
    ):  # fmt: skip
        stack.request("GET", path, headers=[("Authorization", f"Bearer {stack.key}"), ("Cookie", f"k={key}")], source=source)
    for method in ("POST", "DELETE", "HEAD", "TRACE", "PUT"):
        stack.request(method, target, b"{}" if method != "TRACE" else None, source=next(addresses))
    for line in (b"GET " + target.encode() + b" HTTP/9.9", b"GET  " + target.encode(), b"GE\x01 " + target.encode() + b" HTTP/1.1",
                 b"GET " + target.encode() + b"%zz HTTP/1.1", b"GET " + target.encode() + b"\x00 HTTP/1.1"):  # fmt: skip
        stack.send(line)
    for bearer in (access, tenant.issued("refresh")[-1], tenant.app_secret, key[:-1] + "x"):
        stack.request("GET", "/api/oauth/clients", headers=[("Authorization", f"Bearer {bearer}"), ("User-Agent", "x")])
    stack.api("PUT", f"/api/oauth/clients/{tenant.id}", {"name": 7, "providers": [access]})
    stack.request("PUT", f"/api/oauth/clients/{tenant.id}", b'{"name":"' + tenant.app_secret.encode(), [
        ("Authorization", f"Bearer {stack.key}"), ("Content-Type", "application/json")])  # fmt: skip
    for _ in range(15):  # until it is too often
        stack.request("GET", target + "&again=1", source=source)
    assert any(status == 429 for _, status, _ in stack.answers)


def without_workers(stack, tenant):
    target = tenant.consent(tenant.begin())
    for pid in stack.workers():
        os.kill(pid, signal.SIGKILL)
    stack.request("GET", target, source=next(addresses))
    eventually(lambda: stack.request("GET", "/readyz").status == 200)
    tenant.callback(target)


@pytest.fixture(scope="module")
def run(stack, sim):
    recorder = Recorder(stack.folder)
    tenant = good_flows(recorder, sim)
    failed_flows(tenant)
    misplaced(recorder, tenant)
    without_workers(recorder, tenant)
    if tenant.token().status != 200:
        tenant.connect()
    return recorder


def setting(stack, name):
    settings = json.loads(Stack.ctl(stack, "config", "--json").stdout)["settings"]
    return next(row["value"] for row in settings if row["name"] == name)


def key_files(stack):
    return sorted(Path(setting(stack, "key_dir")).glob("*.ring"))


def ring_keys(stack):
    texts = [path.read_text() for path in key_files(stack)]
    return {bytes.fromhex(value) for text in texts for value in re.findall(r'"key":"([0-9a-f]{64})"', text)}


@pytest.fixture(scope="module")
def wanted(run, sim):
    """All of it, as what to look for."""
    ledger = sim.ledger()
    values = {
        "access token": {row["value"] for row in ledger["tokens"] if row["kind"] == "access"},
        "refresh token": {row["value"] for row in ledger["tokens"] if row["kind"] == "refresh"},
        "code": {row["value"] for row in ledger["codes"]},
        "state": run.states(),
        "app secret": {MARKER},
        "API key": {key.split("_", 2)[2] for key in run.keys},
        "ring key": ring_keys(run),
    }
    assert {label: len(group) > 0 for label, group in values.items()} == dict.fromkeys(values, True)
    assert len(values["state"]) > 10 and len(values["API key"]) == 3 and len(values["ring key"]) >= 6
    return leaks.needles(values)


@pytest.fixture(scope="module")
def data(run):
    """The folder of everything that is written: logs, state, sockets, nginx, PostgreSQL's own files."""
    folder = Path(run.env["PGHOST"]).parent
    assert (folder / "pg/PG_VERSION").exists() and Path(run.env["VESTAL_STATE_DIR"]).is_relative_to(folder)
    return folder


def below(folder, *without):
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and not any(path.is_relative_to(w) for w in without)]


# --- the search itself


def test_the_search_finds(run, wanted, tmp_path):
    """One planted in a copy of a log is found, in every form, and in the copy without it nothing is."""
    log = max(run.log_files(), key=lambda path: path.stat().st_size)
    copy = tmp_path / "a log"
    shutil.copy(log, copy)
    assert leaks.search_files(wanted, [copy]) == set()
    samples = {label: form for form, label in wanted.items()}
    assert len(samples) == 7
    for label, form in samples.items():
        copy.write_bytes(log.read_bytes() + b"\n\xff\x00{\"x\":\"" + form + b"\"}\n")
        assert leaks.search_files(wanted, [copy]) == {(str(copy), label)}
    value = next(form for form, label in wanted.items() if label == "refresh token" and form.startswith(b"1000.")).decode()
    for text in (value, quote(value, safe=""), value.encode().hex(), base64.b64encode(b"ab" + value.encode() + b"c").decode()):
        assert leaks.search_text(wanted, "text", f"before{text}after".encode()) == {("text", "refresh token")}, text


# --- where they must not be


def test_logs(run, wanted):
    names = {path.name for path in run.log_files()}
    assert {"access.log", "worker.log", "postgresql.log"} <= names, names
    assert leaks.search_files(wanted, run.log_files()) == set()


def test_the_logs_are_about_this_run(run):
    """That they hold no secret is not because they hold nothing."""
    text = "\n".join(path.read_text(errors="replace") for path in run.log_files())
    for trace in ("/api/oauth/callback/zoho_crm", '"status":414', '"status":429', "permission denied for table audit_event", "provider.answered", "authorize.failed"):
        assert trace in text, trace


def test_database(run, wanted, tmp_path):
    dump = tmp_path / "dump.sql"
    subprocess.run([postgres_program("pg_dump"), "-h", run.env["PGHOST"], "-p", run.env["PGPORT"], "-U", run.env["PGUSER"],
                    "-f", str(dump), run.env["PGDATABASE"]], check=True)  # fmt: skip
    text = dump.read_bytes()
    assert b"COPY vestal.token " in text and b"COPY vestal.token_history " in text and len(text) > 50_000
    assert leaks.search_files(wanted, [dump]) == set()


def test_every_file_of_the_stack(run, wanted, data):
    """PostgreSQL's own files with its write-ahead log, nginx's, the sealed copies, sockets and locks; programs excepted."""
    keys, runtime = Path(setting(run, "key_dir")), Path(run.env["VESTAL_RUNTIME_DIR"])
    files = below(data, data / "inst", data / "dev", keys, runtime)
    assert len(files) > 500 and any(path.suffix == ".vst" for path in files)
    assert leaks.search_files(wanted, files) == set()


def test_key_files(run, wanted):
    """They hold their keys, and nothing else of value; nobody else may read them."""
    assert len(key_files(run)) == 6
    for path in key_files(run):
        assert path.stat().st_mode & 0o777 == 0o600
        assert {label for _, label in leaks.search_files(wanted, [path])} == {"ring key"}


def test_environment_files(run, wanted, sim):
    """Access tokens only, only of the client that the file is named for, and only the newest."""
    runtime = Path(run.env["VESTAL_RUNTIME_DIR"])
    found = leaks.search_files(wanted, [runtime])
    assert {label for _, label in found} == {"access token"}
    users = {row["value"]: row["user"] for row in sim.ledger()["tokens"]}
    for path in map(Path, {path for path, _ in found}):
        assert path.parent == runtime / "env" and path.stat().st_mode & 0o777 == 0o640
        client, provider = path.name.removesuffix(".env").rsplit(".", 1)
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines())
        prefix = provider.upper()
        assert set(lines) == {f"{prefix}_{n}" for n in ("ACCESS_TOKEN", "AUTHORIZATION_SCHEME", "EXPIRES_AT", "GENERATION", "API_DOMAIN")}
        assert users[lines[f"{prefix}_ACCESS_TOKEN"]].startswith(client), "another client's token"
    assert runtime.stat().st_mode & 0o007 == 0


def test_the_stack_folder(run, wanted):
    """DIR itself: its env file holds the administrator's key, for its owner's eyes."""
    own = [path for path in run.folder.iterdir() if path.is_file()]
    found = leaks.search_files(wanted, own)
    assert found == {(str(run.folder / "env"), "API key")}
    assert (run.folder / "env").stat().st_mode & 0o777 == 0o600


def test_answers(run, wanted, tmp_path):
    """Access tokens in token reads, states in authorization URLs, and otherwise nothing of it."""
    assert len(run.answers) > 60
    for index, (_, _, content) in enumerate(run.answers):
        (tmp_path / str(index)).write_bytes(content)
    found = {(int(Path(path).name), label) for path, label in leaks.search_files(wanted, [tmp_path])}
    allowed = set()
    for index, (line, status, _) in enumerate(run.answers):
        if ACCESS_ROUTE.match(line) and status == 200:
            allowed.add((index, "access token"))
        if STATE_ROUTES.match(line) and status in (200, 303):
            allowed.add((index, "state"))
    assert [(run.answers[index][0].split("?")[0][:60], run.answers[index][1], label) for index, label in found - allowed] == []
    assert {label for _, label in found} == {"access token", "state"}


def test_commands(run, wanted):
    assert len(run.said) > 8 and any(b"healthy" in text for text in run.said)
    assert leaks.search_text(wanted, "vestalctl", b"\n".join(run.said)) == set()


def test_processes(run, wanted, data):
    """Command lines and environments of everything that runs; the tests' own process and its parents excepted."""
    own, pid = set(), os.getpid()
    while pid:
        own.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    seen, stack_processes = b"", 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        said = b""
        for name in ("cmdline", "environ"):
            with suppress(OSError):  # it has ended, or nobody but root may see it
                said += (entry / name).read_bytes() + b"\n"
        stack_processes += str(data).encode() in said
        seen += said
    assert stack_processes >= 6, "the stack's processes were not looked at"
    assert leaks.search_text(wanted, "processes", seen) == set()


def test_no_core_of_a_worker(run):
    """Neither a core file nor another process of the same account gets at a worker's memory."""
    workers = run.workers()
    assert len(workers) >= 3
    for pid in workers:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
        uid = int(re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])
        assert uid != 0 and os.stat(f"/proc/{pid}/environ").st_uid == 0, "it is dumpable"
    supervisor = int((Path(run.env["PGHOST"]).parent / "run/supervisor.pid").read_text())
    assert os.stat(f"/proc/{supervisor}/environ").st_uid != 0, "this check tells them apart"
