"""The nginx configuration by itself, before workers that answer as a test likes: its own errors, what of a request
reaches a worker and what of an answer the caller, and that neither bodies nor secrets touch the disk."""

import http.client
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from frames import FakeWorker, cgi
from harness import MARKER, TREE, Answer, addresses, eventually, free_port

READ, CALLBACK, TOKEN = "/divine/oauth/health", "/api/oauth/callback/zoho_crm", "/api/oauth/token/acme"
PLACES = [READ, CALLBACK, TOKEN, "/api/zoho/emergency-reauth", "/admin/session"]
SECRET_QUERY = f"code={MARKER}&state={MARKER}"
SECRET_HEADERS = [f"Authorization: Bearer vst_1_{MARKER}", f"Cookie: __Host-vestal={MARKER}", f"X-Vestal-CSRF: {MARKER}"]
SECURITY_HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
MAX_BODY = 64 * 1024


class Front:
    """nginx on the tree's configuration with waits of a second, and a fake worker for each pool."""

    def __init__(self, folder, **words):
        self.folder, self.port = folder, free_port()
        for name in ("sock", "log", "run", "nginx/tmp", "nginx/vestal", "html/admin/empty"):
            (folder / name).mkdir(parents=True)
        (folder / "html/admin/index.html").write_text("<!doctype html><title>here</title>")
        for file in (TREE / "nginx").glob("*.conf"):
            text = file.read_text().replace("fastcgi_read_timeout 15s", "fastcgi_read_timeout 1s")
            (folder / "nginx/vestal" / file.name).write_text(text)
        words = {
            "LISTEN": f"listen 127.0.0.1:{self.port} default_server;", "SOCKETS": f"{folder}/sock", "LOGS": f"{folder}/log",
            "HTML": f"{folder}/html", "WAIT_SLOW": "1s", "RATE_PER_KEY": "0", "RATE_PER_ADDRESS": "0",
        } | words  # fmt: skip
        self.render("vestal.conf", **words)
        self.render("nginx.conf", DATA=folder, LOGS=folder / "log")
        self.pools = {name: FakeWorker(folder / f"sock/{name}.sock") for name in ("fast", "provider", "flow")}
        folders = ["-e", f"{folder}/log/nginx.log", "-p", f"{folder}/nginx", "-c", f"{folder}/nginx/nginx.conf"]
        self.command = ["/usr/sbin/nginx", *folders]
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody:nogroup", folder], check=True)
            self.command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *self.command]
        subprocess.run(self.command, check=True)
        self.master = int(eventually(lambda: self.pid_file().exists() and self.pid_file().read_text()))

    def pid_file(self):
        return self.folder / "run/nginx.pid"

    def render(self, name, **words):
        command = [TREE / "nginx/render", TREE / f"nginx/{name}.in", *(f"{word}={value}" for word, value in words.items())]
        (self.folder / "nginx" / name).write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)

    def open(self, sent, source="127.0.0.1"):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0))
        try:
            connection.sendall(sent)
        except ConnectionError:  # refused before it was all sent; the answer is there
            pass
        return connection

    def ask(self, sent, source="127.0.0.1"):
        with self.open(sent, source) as connection:
            return read_answer(connection, sent.split(b" ")[0].decode("latin-1"))

    def files_held(self):
        """What is in nginx's temporary folders, and what its processes hold open there, deleted or not."""
        temporary = str(self.folder / "nginx/tmp")
        held = [str(path) for path in Path(temporary).rglob("*") if path.is_file()]
        for pid in [self.master, *children(self.master)]:
            links = [os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd")]
            held += [link for link in links if link.startswith(temporary)]
        return held

    def logs(self):
        return "".join(path.read_text(errors="replace") for path in (self.folder / "log").iterdir())

    def stop(self):
        subprocess.run([*self.command, "-s", "stop"], check=True)
        eventually(lambda: not Path(f"/proc/{self.master}").exists() or not self.pid_file().exists())
        for pool in self.pools.values():
            pool.close()


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def read_answer(connection, method="GET"):
    reply = http.client.HTTPResponse(connection, method=method)
    reply.begin()
    return Answer(reply.status, reply.headers, reply.read())


def http_request(method, target, *headers, body=b"", version="HTTP/1.1"):
    """A request as bytes, with every secret that one can hold."""
    lines = [f"{method} {target} {version}", "Host: vestal", *SECRET_HEADERS, *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def check_headers(answer):
    """The headers that every answer has, once each."""
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers.get_all(name) == [value], (name, answer)
    (request_id,) = answer.headers.get_all("X-Request-Id")
    assert len(request_id) == 32 and answer.headers["Server"] == "nginx"
    assert len(answer.headers.get_all("Content-Security-Policy")) == 1
    return request_id


def check_own_problem(answer, status, slug):
    check_headers(answer)
    assert answer.problem(status, slug) == []
    assert set(answer.json) == {"type", "title", "status", "detail", "requestId"}
    assert len(answer.headers.get_all("Content-Type")) == 1 and MARKER.encode() not in answer.body


@pytest.fixture(scope="module")
def front():
    with tempfile.TemporaryDirectory(prefix="vestal-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        trusted = "set_real_ip_from 127.99.0.0/16; real_ip_header X-Forwarded-For; real_ip_recursive on;"
        front = Front(folder, TRUSTED_PROXIES=trusted)
        yield front
        front.stop()


@pytest.fixture
def source():
    return next(addresses)


@pytest.fixture(autouse=True)
def honest_workers(front):
    usual = {name: pool.answer for name, pool in front.pools.items()}
    for pool in front.pools.values():
        pool.seen.clear()
        pool.sent = 0
    yield
    for name, pool in front.pools.items():
        pool.answer = usual[name]


# --- nginx's own errors ---------------------------------------------------------------------------


def raw(line, *headers, body=b""):
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1") + body


MALFORMED = {
    "tls": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "no method": raw(f"/{MARKER} HTTP/1.1", "Host: vestal"),
    "small letters": raw(f"get {CALLBACK}?{SECRET_QUERY} HTTP/1.1", "Host: vestal", *SECRET_HEADERS),
    "words behind the version": raw(f"GET {CALLBACK}?{SECRET_QUERY} HTTP/1.1 {MARKER}", "Host: vestal"),
    "space in the target": raw(f"GET {CALLBACK}?{SECRET_QUERY} and more HTTP/1.1", "Host: vestal"),
    "no such version": raw(f"GET {CALLBACK}?{SECRET_QUERY} HTTP/x.1", "Host: vestal"),
    "connect": raw(f"CONNECT {MARKER}:443 HTTP/1.1", f"Host: {MARKER}:443", *SECRET_HEADERS),
    "no host": raw(f"GET {CALLBACK}?{SECRET_QUERY} HTTP/1.1", *SECRET_HEADERS),
    "bad host": raw(f"GET {CALLBACK}?{SECRET_QUERY} HTTP/1.1", "Host: ves/tal"),
}
MALFORMED_TARGETS = ["%zz", "%", "%2", "%00", "a%00b", "../../../../../etc/passwd"]
MALFORMED_HEADERS = {
    "two authorizations": ["Authorization: Bearer other"],
    "two hosts": ["Host: other"],
    "two lengths": ["Content-Length: 0", "Content-Length: 0"],
    "a length of letters": ["Content-Length: ten"],
    "a negative length": ["Content-Length: -1"],
    "length and chunks": ["Content-Length: 3", "Transfer-Encoding: chunked"],
    "a control character": ["X-One\x01Two: 3"],
    "one of 9 KiB": ["X-Large: " + 9 * 1024 * "x"],
    "36 KiB in all": [f"X-Large-{n}: " + 6 * 1024 * "x" for n in range(6)],
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request(front, sent):
    check_own_problem(front.ask(sent), 400, "bad_request")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", MALFORMED_TARGETS)
def test_malformed_target(front, source, place, end):
    """Escapes that mean nothing, zero bytes, and paths that lead out of the root."""
    check_own_problem(front.ask(http_request("GET", f"{place}/{end}?{SECRET_QUERY}"), source), 400, "bad_request")
    assert not any(pool.seen for pool in front.pools.values())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("headers", MALFORMED_HEADERS.values(), ids=MALFORMED_HEADERS)
def test_malformed_headers(front, source, place, headers):
    check_own_problem(front.ask(http_request("GET", f"{place}?{SECRET_QUERY}", *headers), source), 400, "bad_request")
    assert not any(pool.seen for pool in front.pools.values())


@pytest.mark.parametrize("place", PLACES)
def test_malformed_chunks(front, source, place):
    sent = http_request("POST", f"{place}?{SECRET_QUERY}", "Transfer-Encoding: chunked") + b"this is no size\r\n"
    check_own_problem(front.ask(sent, source), 400, "bad_request")


def test_http_0_9_is_hung_up_on(front):
    with front.open(f"GET {CALLBACK}?{SECRET_QUERY}\r\n".encode()) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


@pytest.mark.parametrize("place", PLACES)
def test_trace(front, source, place):
    answer = front.ask(http_request("TRACE", f"{place}?{SECRET_QUERY}"), source)
    check_own_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"] and "TRACE" not in answer.headers["Allow"]


@pytest.mark.parametrize("place", PLACES)
def test_too_large_by_length(front, source, place):
    for method in ("POST", "GET", "DELETE"):
        sent = http_request(method, f"{place}?{SECRET_QUERY}", f"Content-Length: {MAX_BODY + 1}")
        check_own_problem(front.ask(sent, source), 413, "payload_too_large")


@pytest.mark.parametrize("place", PLACES)
def test_too_large_by_chunks(front, source, place):
    chunks = b"8000\r\n" + 0x8000 * b"x" + b"\r\n"
    for method in ("POST", "GET"):
        sent = http_request(method, f"{place}?{SECRET_QUERY}", "Transfer-Encoding: chunked") + 3 * chunks + b"0\r\n\r\n"
        check_own_problem(front.ask(sent, source), 413, "payload_too_large")
    assert not any(pool.seen for pool in front.pools.values())


@pytest.mark.parametrize("place", PLACES)
def test_too_long_a_target(front, source, place):
    answer = front.ask(http_request("GET", f"{place}?{SECRET_QUERY}&more={9 * 1024 * 'x'}"), source)
    check_own_problem(answer, 414, "uri_too_long")


def test_unknown_transfer_encoding(front, source):
    answer = front.ask(http_request("POST", f"{CALLBACK}?{SECRET_QUERY}", "Transfer-Encoding: gzip"), source)
    check_own_problem(answer, 501, "not_implemented")


def test_http_2_without_negotiation(front):
    check_own_problem(front.ask(http_request("GET", CALLBACK, version="HTTP/2.0")), 505, "http_version_not_supported")


def test_files(front):
    check_headers(front.ask(http_request("GET", "/admin/")))
    check_own_problem(front.ask(http_request("GET", f"/admin/none.js?{SECRET_QUERY}")), 404, "not_found")
    check_own_problem(front.ask(http_request("GET", "/admin/empty/")), 403, "forbidden")
    answer = front.ask(http_request("POST", f"/admin/?{SECRET_QUERY}"))
    check_own_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("place", PLACES)
def test_worker_hangs_up(front, source, place, method):
    for pool in front.pools.values():
        pool.answer = lambda params, body: None
    check_own_problem(front.ask(http_request(method, f"{place}?{SECRET_QUERY}"), source), 502, "bad_gateway")
    assert sum(len(pool.seen) for pool in front.pools.values()) == 1  # and nobody else was asked the same


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("place", PLACES)
def test_no_worker(front, source, place, method):
    for pool in front.pools.values():
        pool.path.rename(f"{pool.path}.away")
    answer = front.ask(http_request(method, f"{place}?{SECRET_QUERY}"), source)
    for pool in front.pools.values():
        Path(f"{pool.path}.away").rename(pool.path)
    check_own_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "2"


@pytest.mark.parametrize("place", [READ, CALLBACK, TOKEN])
def test_worker_takes_too_long(front, source, place):
    answered = threading.Event()
    for pool in front.pools.values():
        pool.answer = lambda params, body: answered.wait(20) and None
    check_own_problem(front.ask(http_request("GET", f"{place}?{SECRET_QUERY}"), source), 504, "gateway_timeout")
    answered.set()


# --- what reaches a worker ------------------------------------------------------------------------

FACTS = {
    "REQUEST_METHOD", "REQUEST_URI", "QUERY_STRING", "SERVER_PROTOCOL", "REMOTE_ADDR", "VESTAL_REQUEST_ID",
}  # fmt: skip
GIVEN = {
    "CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Bearer one", "HTTP_ACCEPT": "text/html",
    "HTTP_IF_NONE_MATCH": '"7"', "HTTP_USER_AGENT": "test", "HTTP_ORIGIN": "http://o", "HTTP_COOKIE": "a=b",
    "HTTP_X_VESTAL_CSRF": "c",
}  # fmt: skip
LOOK_ALIKES = [
    "Proxy: http://evil", "VESTAL_REQUEST_ID: evil", "Vestal-Request-Id: evil", "HTTP_AUTHORIZATION: evil", "Http-Accept: evil",
    "X_Forwarded_For: 203.0.113.1", "X_Vestal_CSRF: evil", "REMOTE_ADDR: 203.0.113.1", "Remote-Addr: 203.0.113.1",
    "REMOTE_USER: evil", "Remote-User: evil", "Https: on", "X-Request-Id: evil", "Content_Length: 7", "Content_Type: evil",
    "Request-Method: DELETE", "Request-Uri: /evil", "X-Http-Method-Override: DELETE", "X-Original-Url: /evil",
    "VESTAL_FORWARDED: evil", "Vestal-Forwarded: evil", "FCGI_ROLE: AUTHORIZER", "Range: bytes=0-1", "Expect: evil",
]  # fmt: skip


def test_only_the_listed_facts_reach_a_worker(front, source):
    given = {name.removeprefix("HTTP_").replace("_", "-"): value for name, value in GIVEN.items()}
    sent = raw("GET /divine/oauth/health?a=%41 HTTP/1.1", "Host: v", *(f"{name}: {value}" for name, value in given.items()),
               *(line for line in LOOK_ALIKES if not line.startswith("Expect")))  # fmt: skip
    answer = front.ask(sent, source)
    ((params, body),) = front.pools["fast"].seen
    assert params.pop("FCGI_ROLE", "RESPONDER") == "RESPONDER"
    assert params == GIVEN | {
        "REQUEST_METHOD": "GET", "REQUEST_URI": "/divine/oauth/health?a=%41", "QUERY_STRING": "a=%41",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": source, "VESTAL_REQUEST_ID": answer.headers["X-Request-Id"],
    }  # fmt: skip
    assert body == b""


@pytest.mark.parametrize("line", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"])
def test_a_forwarded_address_is_only_a_hint(front, source, line):
    front.ask(raw("GET /healthz HTTP/1.1", "Host: v", line), source)
    ((params, _),) = front.pools["fast"].seen
    assert params["REMOTE_ADDR"] == source and params["VESTAL_FORWARDED"] == line.split(": ")[1]
    assert set(params) == FACTS | {"VESTAL_FORWARDED"}


def test_a_trusted_proxy_is_believed_as_far_as_it_goes(front):
    header = "X-Forwarded-For: 203.0.113.1, 198.51.100.7, 127.99.0.8"
    front.ask(raw("GET /healthz HTTP/1.1", "Host: v", header), "127.99.0.7")
    ((params, _),) = front.pools["fast"].seen
    assert params["REMOTE_ADDR"] == "198.51.100.7" and params["VESTAL_FORWARDED"]


@pytest.mark.parametrize(
    "pool, requests",
    {
        "flow": ["GET /api/oauth/callback/p", "POST /api/oauth/callback/p"],
        "provider": ["POST /api/oauth/refresh/a", "POST /api/oauth/undo/a", "POST /api/zoho/manual-token-update",
                     "POST /divine/oauth/health/check", "DELETE /api/oauth/token/a", "POST /api/oauth/token/a/rejected"],
        "fast": ["GET /api/oauth/token/a", "HEAD /api/oauth/token/a", "POST /api/oauth/reauthorize/a", "GET /api/oauth/clients",
                 "PUT /api/oauth/clients/a", "GET /divine/oauth/health", "GET /healthz", "POST /admin/session",
                 "GET /api/oauth/authorize/a", "GET /api/zoho/emergency-reauth", "POST /api/zoho/emergency-reauth",
                 "GET /api/oauth/refresh/a", "GET /", "GET /none"],
    }.items())  # fmt: skip
def test_pools(front, source, pool, requests):
    for request in requests:
        front.ask(http_request(*request.split()), source)
    assert [f"{params['REQUEST_METHOD']} {params['REQUEST_URI']}" for params, _ in front.pools[pool].seen] == requests
    assert not any(other.seen for name, other in front.pools.items() if name != pool)


# --- what reaches the caller ----------------------------------------------------------------------

WORKERS_OWN = [200, 201, 204, 303, 304, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 502, 503, 504]
BODY = b'{"type":"urn:vestal:error:of_the_worker"}'


def worker_answer(status):
    return cgi(status, b"" if status in (204, 304) else BODY, Content_Type="application/problem+json", Retry_After="77",
               Allow="PATCH", ETag='"7"', WWW_Authenticate="Bearer", Cache_Control="public", X_Request_Id="of-the-worker",
               X_Accel_Redirect="/admin/index.html", X_Accel_Limit_Rate="1", X_Powered_By="it")  # fmt: skip


def check_workers_answer(answer, status):
    check_headers(answer)
    assert answer.status == status and answer.body == (b"" if status in (204, 304) else BODY)
    for name, value in {"Retry-After": "77", "Allow": "PATCH", "ETag": '"7"', "WWW-Authenticate": "Bearer"}.items():
        assert answer.headers.get_all(name) == [value]
    assert "X-Powered-By" not in answer.headers


@pytest.mark.parametrize("status", WORKERS_OWN)
def test_workers_answers_pass_untouched(front, status):
    for pool in front.pools.values():
        pool.answer = lambda params, body: worker_answer(status)
    for place in (READ, CALLBACK):
        check_workers_answer(front.ask(http_request("GET", place), next(addresses)), status)
    for method in ("POST", "DELETE"):
        check_workers_answer(front.ask(http_request(method, TOKEN), next(addresses)), status)
    answer = front.ask(http_request("GET", TOKEN), next(addresses))
    replaced = {413: "payload_too_large", 500: "internal_error", 502: "bad_gateway", 504: "gateway_timeout"}
    if status in replaced:  # no worker of the fast pool answers a read so, but with 500
        check_own_problem(answer, status, replaced[status])
    else:
        check_workers_answer(answer, status)


@pytest.mark.parametrize("status", WORKERS_OWN)
def test_a_read_that_needs_a_renewal_goes_to_the_other_pool(front, source, status):
    front.pools["fast"].answer = lambda params, body: cgi(521)
    front.pools["provider"].answer = lambda params, body: worker_answer(status)
    check_workers_answer(front.ask(http_request("GET", f"{TOKEN}?provider=p&min_ttl=7", 'If-None-Match: "6"'), source), status)
    assert front.pools["fast"].seen == front.pools["provider"].seen and len(front.pools["fast"].seen) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_read_with_a_body_goes_to_the_other_pool_at_once(front, source, chunked):
    if chunked:
        sent = http_request("GET", TOKEN, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"
    else:
        sent = http_request("GET", TOKEN, body=b"hello")
    assert front.ask(sent, source).status == 200
    ((params, body),) = front.pools["provider"].seen
    assert body == b"hello" and params["CONTENT_LENGTH"] == "5" and not front.pools["fast"].seen


# --- nothing on the disk --------------------------------------------------------------------------


def unread_by_nginx(port, connection):
    """Bytes that nginx has not yet taken from the kernel."""
    wanted = f"{port:04X} ", f":{connection.getsockname()[1]:04X} "
    for line in Path("/proc/net/tcp").read_text().splitlines():
        words = line.split()
        if words[1].endswith(wanted[0].strip()) and words[2].endswith(wanted[1].strip()):
            return int(words[4].split(":")[1], 16)
    return 0


@pytest.mark.parametrize("place", [READ, CALLBACK, TOKEN])
def test_a_body_stays_in_memory(front, source, place):
    body = os.urandom(MAX_BODY)
    sent = http_request("POST", place, body=body)
    with front.open(sent[:-MAX_BODY], source) as connection:
        for at in range(0, MAX_BODY, MAX_BODY // 4):
            connection.sendall(body[at : at + MAX_BODY // 4])
            eventually(lambda: unread_by_nginx(front.port, connection) == 0)
            assert front.files_held() == []
        assert read_answer(connection).status == 200
    ((_, received),) = [seen for pool in front.pools.values() for seen in pool.seen]
    assert received == body and front.files_held() == []


def test_a_large_answer_to_a_slow_reader_stays_in_memory(front, source):
    body = os.urandom(16) * (1 << 20)
    worker = front.pools["fast"]
    worker.answer = lambda params, _: cgi(200, body, Content_Type="application/json")
    with front.open(http_request("GET", READ), source) as connection:
        reached = []

        def stands_still():
            reached.append(worker.sent)
            return len(reached) > 20 and reached[-1] == reached[-20] > 0

        eventually(stands_still)
        assert worker.sent < len(body) // 2 and front.files_held() == []
        assert read_answer(connection).body == body
    assert front.files_held() == []


# --- last: everything above was planted with secrets ----------------------------------------------


def test_no_secret_in_any_log(front):
    logs = front.logs()
    for status in (400, 405, 413, 502, 503, 504):
        assert f'"path":"{CALLBACK}","status":{status}' in logs, f"no test got {status} at the callback"
    assert '"status":414' in logs and MARKER not in logs  # such a request has no path
