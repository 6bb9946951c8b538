"""What a worker makes of FastCGI records that nginx would never send. The socket is closed to everybody else; should
somebody reach it all the same, he may cost a worker, but neither the pool nor anybody's secret."""

import json
import os
import re
import secrets
import socket
import struct
import time
from pathlib import Path

import frames
import pytest
from harness import LONG, Tenant, eventually

READ = "/divine/oauth/health"
POOLS = ("fast", "provider", "flow")
WORKERS = 6
READ_LIMIT_S = 20  # within which a request must have come


def params_of(stack, path=READ, method="GET", key=None, **more):
    query = path.partition("?")[2]
    return {
        "REQUEST_METHOD": method, "REQUEST_URI": path, "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1", "VESTAL_REQUEST_ID": secrets.token_hex(16), "HTTP_ACCEPT": "application/json",
        "HTTP_AUTHORIZATION": f"Bearer {key or stack.key}",
    } | more  # fmt: skip


def request(params, body=b"", **options):
    return frames.begin(**options) + frames.stream(frames.PARAMS, frames.pairs(params)) + frames.stream(frames.STDIN, body)


def connect(stack, pool="fast"):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(stack.data / f"sock/{pool}.sock"))
    return connection


def exchange(stack, sent, pool="fast", leave_open=False):
    """Sends, and gives back the records that came, until the worker hung up."""
    with connect(stack, pool) as connection:
        try:
            connection.sendall(sent)
            if not leave_open:
                connection.shutdown(socket.SHUT_WR)
            return list(frames.receive(connection))
        except ConnectionError:  # hung up on, in the middle
            return []


def parse(records):
    """Status and body of an answer."""
    out = b"".join(content for kind, content in records if kind == frames.STDOUT)
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.startswith(b"Status: "), out[:200]
    return int(head.split()[1]), body


@pytest.fixture(autouse=True)
def pool_answers(stack):
    """Whatever a test did: every pool is whole afterwards, and answers."""
    yield
    eventually(lambda: len(stack.workers()) == WORKERS)
    for pool in POOLS:
        for _ in range(4):  # each worker, most likely
            assert parse(exchange(stack, request(params_of(stack)), pool))[0] == 200
    assert stack.api("GET", READ).status == 200


def garbage():
    lie = 0x7FFFFFFF
    huge = struct.pack(">II", lie | 0x80000000, lie | 0x80000000)
    begin, end = frames.begin(), frames.stream(frames.STDIN, b"")
    return {
        "nothing": b"",
        "http": b"GET / HTTP/1.1\r\nHost: v\r\n\r\n",
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "random": os.urandom(65536),
        "another version": frames.record(frames.BEGIN, struct.pack(">HB5x", 1, 0), version=7),
        "half a header": begin[:5],
        "begin alone": begin,
        "begin cut short": frames.record(frames.BEGIN, b"\0"),
        "begin twice": begin + begin + end,
        "request id 0": frames.begin(request=0) + frames.stream(frames.PARAMS, b"", 0),
        "params of another request": begin + frames.stream(frames.PARAMS, frames.pairs({"A": "b"}), 2) + end,
        "both lengths 2 GiB": begin + frames.stream(frames.PARAMS, huge + 64 * b"A") + end,
        "both lengths 4 GiB": begin + frames.stream(frames.PARAMS, b"\xff" * 8 + 64 * b"A") + end,
        "name of 2 GiB": begin + frames.stream(frames.PARAMS, struct.pack(">IB", lie | 0x80000000, 1) + 64 * b"A") + end,
        "value of 2 GiB": begin + frames.stream(frames.PARAMS, struct.pack(">BI", 1, lie | 0x80000000) + 64 * b"A") + end,
        "lengths past the end": begin + frames.stream(frames.PARAMS, bytes([100, 100]) + b"short") + end,
        "length cut short": begin + frames.stream(frames.PARAMS, b"\x80\x00") + end,
        "params without end": begin + frames.record(frames.PARAMS, frames.pairs({"A": "b"})),
        "record longer than said": begin + frames.record(frames.PARAMS, b"\x01\x01Ab", length=60000),
        "stdin before params": begin + frames.stream(frames.STDIN, b"x") + frames.stream(frames.PARAMS, b""),
        "abort": begin + frames.record(frames.ABORT),
        "unknown type": frames.record(99, b"x", request=0) + begin,
        "unknown type within": begin + frames.record(99, b"x"),
        "unknown role": frames.begin(role=9) + frames.stream(frames.PARAMS, b"") + end,
    }


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", garbage())
def test_garbage(stack, pool, name):
    for _ in range(3):
        for kind, content in exchange(stack, garbage()[name], pool):
            assert kind in (frames.STDOUT, frames.STDERR, frames.END, frames.UNKNOWN_TYPE) and b" 200 " not in content[:20]


def test_management_records(stack):
    asked = frames.pairs({"FCGI_MAX_CONNS": "", "FCGI_MPXS_CONNS": "", "NONE": ""})
    records = exchange(stack, frames.record(frames.GET_VALUES, asked, request=0) + request(params_of(stack)))
    values = frames.parse_pairs(next(content for kind, content in records if kind == frames.GET_VALUES_RESULT))
    assert values["FCGI_MPXS_CONNS"] == "0" and "NONE" not in values
    assert parse(records)[0] == 200


NEEDED = {"REQUEST_METHOD": 400, "REQUEST_URI": 404, "HTTP_AUTHORIZATION": 401}
DISPENSABLE = ["QUERY_STRING", "SERVER_PROTOCOL", "REMOTE_ADDR", "VESTAL_REQUEST_ID", "HTTP_ACCEPT"]


@pytest.mark.parametrize("missing", [*NEEDED, *DISPENSABLE])
@pytest.mark.parametrize("empty", [False, True])
def test_missing_params(stack, missing, empty):
    params = params_of(stack)
    del params[missing]
    if empty:
        params[missing] = ""
    assert parse(exchange(stack, request(params)))[0] == NEEDED.get(missing, 200)


def test_no_params(stack):
    assert parse(exchange(stack, request({})))[0] == 400


def test_without_credential_nothing_is_given(stack):
    for authorization in ("", "Bearer", "Bearer ", "Basic eDp5", "Bearer vst_", "Bearer vst_1_", "Bearer " + "x" * 60000):
        status, body = parse(exchange(stack, request(params_of(stack, HTTP_AUTHORIZATION=authorization))))
        assert status == 401 and b"tokens" not in body


def test_ten_thousand_params(stack):
    many = {f"HTTP_X_{n}": "v" * (n % 200) for n in range(10_000)}
    assert parse(exchange(stack, request(params_of(stack) | many)))[0] == 200


def test_params_in_single_bytes(stack):
    """Every split of a record's content is the same content."""
    content = frames.pairs(params_of(stack))
    parts = [frames.record(frames.PARAMS, content[at : at + 1], padding=at % 3) for at in range(len(content))]
    sent = frames.begin() + b"".join(parts)
    sent += frames.record(frames.PARAMS) + frames.stream(frames.STDIN, b"")
    assert parse(exchange(stack, sent))[0] == 200


def test_doubled_params_do_not_mix(stack):
    """Of two credentials the first counts, and no third is made of them."""
    for first, second, status in ((stack.key, "vst_1_x", 200), ("vst_1_x", stack.key, 401)):
        params = frames.pairs(params_of(stack, key=first)) + frames.pairs({"HTTP_AUTHORIZATION": f"Bearer {second}"})
        sent = frames.begin() + frames.stream(frames.PARAMS, params) + frames.stream(frames.STDIN, b"")
        assert parse(exchange(stack, sent))[0] == status


@pytest.mark.parametrize("role", [frames.AUTHORIZER, frames.FILTER, 0, 9])
def test_other_roles(stack, role):
    """A worker answers them like any request, or not at all, and neither ends nor waits for more."""
    exchange(stack, request(params_of(stack), role=role))


@pytest.mark.parametrize("claimed", ["0", "1", "3", "100000", "4294967297", "-1", "ten", "99999999999999999999999"])
def test_content_length_lies(stack, claimed, tenant):
    body = json.dumps({"provider": "zoho_crm", "reason": "x" * 100}).encode()
    path = f"/api/oauth/reauthorize/{tenant.id}"
    told = params_of(stack, path, "POST", CONTENT_LENGTH=claimed, CONTENT_TYPE="application/json")
    status, answer = parse(exchange(stack, request(told, body)))
    # What was understood, if anything, is the whole body; a part of it is no JSON.
    assert status in (400, 404, 409, 413) or (status == 200 and json.loads(answer)["clientId"] == tenant.id)


@pytest.mark.parametrize("size", [65536, 65537, 200_000])
def test_a_body_past_the_limit(stack, size):
    told = params_of(stack, "/api/zoho/emergency-reauth", "POST", CONTENT_LENGTH=str(size), CONTENT_TYPE="application/json")
    assert parse(exchange(stack, request(told, size * b" ")))[0] == (413 if size > 65536 else 400)


@pytest.mark.parametrize("pool", POOLS)
def test_callers_that_leave(stack, pool):
    """At every point of a request, and without reading the answer."""
    whole = request(params_of(stack), b"x" * 100)
    for at in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole)]:
        with connect(stack, pool) as connection:
            connection.sendall(whole[:at])


def test_a_kept_connection_binds_no_worker(stack):
    """A caller may ask to keep the connection; the worker serves others all the same."""
    kept = []
    for _ in range(3):  # more than the pool has workers
        connection = connect(stack)
        connection.sendall(request(params_of(stack), flags=frames.KEEP))
        kept.append(connection)
    begun = time.monotonic()
    for _ in range(4):
        assert parse(exchange(stack, request(params_of(stack))))[0] == 200
    for connection in kept:
        assert parse(frames.receive(connection))[0] == 200  # reads until the worker hangs up
        connection.close()
    assert time.monotonic() - begun < READ_LIMIT_S / 2


def test_an_answered_caller_binds_no_worker(stack):
    """Whoever has his answer and does not hang up is nobody's trouble: the worker has hung up already."""
    begun, answered = time.monotonic(), []
    for _ in range(10):
        connection = connect(stack)
        connection.sendall(request(params_of(stack)))
        assert parse(frames.receive(connection))[0] == 200
        answered.append(connection)
    assert time.monotonic() - begun < 2, "libfcgi's own way to end waits this long for each"
    for connection in answered:
        connection.close()


def switches(pid):
    """How often it has gone to sleep."""
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def test_a_connection_wakes_one_worker(stack):
    """The other one sleeps on, unless the first is still busy with the request before."""
    pids, count = stack.workers("fast"), 100
    assert len(pids) > 1
    before = [switches(pid) for pid in pids]
    for _ in range(count):
        assert parse(exchange(stack, request(params_of(stack, "/healthz")), leave_open=True))[0] == 200
    woken = [switches(pid) - old for pid, old in zip(pids, before, strict=True)]
    assert max(woken) >= count // len(pids), "each connection is waited for"
    assert min(woken) < count // 2, woken


def memory(pid):
    """All that the process holds."""
    held = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            if " rw" in line:
                file.seek(first)
                held.append(file.read(last - first))
    return b"".join(held)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a worker's memory")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_idle_worker_has_forgotten(stack, connected, method):
    """Neither key nor token nor what was sent is left of a request, with a body or without."""
    key, sent = stack.new_key("admin", "--all-clients"), f"said-{secrets.token_hex(16)}"
    path = f"/api/oauth/token/{connected.id}?provider=zoho_crm"
    body = json.dumps({"reason": sent, "provider": 1}).encode() if method == "POST" else b""
    told = {"HTTP_COOKIE": f"cookie={sent}"} | ({"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"} if body else {})
    if body:
        path = f"/api/oauth/reauthorize/{connected.id}"
    access = connected.issued()[-1]
    for _ in range(8):  # each worker, most likely
        status, answer = parse(exchange(stack, request(params_of(stack, path, method, key, **told), body)))
        assert status == (400 if body else 200) and (access.encode() in answer) is not bool(body)
    pids = stack.workers("fast") + stack.workers("provider") + stack.workers("flow")
    for pid in pids:
        left = memory(pid)
        assert b"VESTAL_" in left, "this looks into its memory"
        values = {"key": key.split("_", 2)[2], "token": access, "text": sent}
        found = [what for what, value in values.items() if value.encode() in left]
        assert found == []


def test_two_requests_at_once_on_a_connection(stack):
    """Multiplexing is not offered: the second is refused, and nothing of it is in the answer to the first."""
    first, second = params_of(stack), params_of(stack, "/none")
    sent = frames.begin() + frames.begin(request=2)
    sent += frames.stream(frames.PARAMS, frames.pairs(second), 2) + frames.stream(frames.PARAMS, frames.pairs(first))
    sent += frames.stream(frames.STDIN, b"", 2) + frames.stream(frames.STDIN, b"")
    records = exchange(stack, sent)
    assert records[0] == (frames.END, struct.pack(">IB3x", 0, 1))  # FCGI_CANT_MPX_CONN
    assert second["VESTAL_REQUEST_ID"].encode() not in b"".join(content for _, content in records)


def test_half_a_request_has_no_effect(stack, connected):
    """Whoever dies over sending a request has not asked for anything, least of all for less than he meant."""
    body = json.dumps({"provider": "zoho_crm", "reason": "cut short"}).encode()
    path = f"/api/oauth/reauthorize/{connected.id}"
    told = params_of(stack, path, "POST", CONTENT_LENGTH=str(len(body)), CONTENT_TYPE="application/json")
    params = frames.begin() + frames.stream(frames.PARAMS, frames.pairs(told))
    whole = params + frames.stream(frames.STDIN, body)
    for end in (len(params) - 8, len(params), len(params) + 4, len(params) + 8, len(whole) - 12, len(whole) - 8, len(whole) - 1):
        assert exchange(stack, whole[:end]) == [], end
    assert connected.token().status == 200 and stack.audit(request_id=told["VESTAL_REQUEST_ID"]) == []
    assert parse(exchange(stack, whole))[0] == 200
    assert connected.token().status == 409 and stack.audit(request_id=told["VESTAL_REQUEST_ID"])


def test_a_request_without_its_end_has_no_effect(stack, connected):
    """Nothing announces a body here, and yet the request is whole only when its end has come."""
    told = params_of(stack, f"/api/oauth/token/{connected.id}?provider=zoho_crm")
    whole = request(told)
    for end in range(len(whole) - 8, len(whole)):
        assert exchange(stack, whole[:end]) == [], end
    assert stack.audit(request_id=told["VESTAL_REQUEST_ID"]) == []
    assert parse(exchange(stack, whole))[0] == 200 and stack.audit(request_id=told["VESTAL_REQUEST_ID"])


@pytest.mark.skipif(not LONG, reason="waits for the workers' read limit; VESTAL_LONG=1")
def test_half_a_request_costs_its_worker_only(stack):
    """All workers of a pool hold half a request each: their limit ends them, and the next ones serve who waited."""
    before = set(stack.workers("fast"))
    held = [connect(stack) for _ in before]
    for connection in held:
        connection.sendall(frames.begin() + frames.record(frames.PARAMS, b"\x05"))
    assert parse(exchange(stack, request(params_of(stack)), leave_open=True))[0] == 200  # within 30 s
    eventually(lambda: not before & set(stack.workers("fast")), READ_LIMIT_S)
    for connection in held:
        connection.close()


def test_two_tenants_interleaved(stack, sim):
    """Nothing of one request is in the answer of the next, whatever became of the one before."""
    tenants = [Tenant(stack, sim) for _ in range(2)]
    own = {}
    for tenant in tenants:
        tenant.connect()
        key = stack.new_key("service", "--client", tenant.id)
        own[tenant.id] = key, tenant.token(key).json["access_token"]
    mine, other = [(tenant.id, *own[tenant.id]) for tenant in tenants]
    for turn in range(40):
        (client, key, access), (foreign, foreign_key, foreign_access) = (mine, other) if turn % 2 else (other, mine)
        path = f"/api/oauth/token/{client}?provider=zoho_crm"
        good = request(params_of(stack, path, key=key))
        strange = request(params_of(stack, f"/api/oauth/token/{foreign}?provider=zoho_crm", key=key))
        broken = request(params_of(stack, path, "POST", key=key, CONTENT_LENGTH="60000", CONTENT_TYPE="application/json"), b'{"a')
        half = good[: len(good) // 2]
        for sent, wanted in ((good, {200}), (half, set()), (strange, {404}), (broken, {400, 405}), (request({}), {400})):
            records = exchange(stack, sent)
            everything = b"".join(content for _, content in records)
            if wanted:
                assert parse(records)[0] in wanted
            assert (access.encode() in everything) == (sent is good)
            for secret in (foreign_access, foreign_key, key):
                assert secret.encode() not in everything
            assert sent is strange or foreign.encode() not in everything
