"""FastCGI records from both ends: what a test sends to a worker, and a worker that answers nginx as a test likes.

Source: the FastCGI specification, sections 3.3 (records), 3.4 (name-value pairs) and 5 (application records).
"""

import socket
import struct
import threading

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = range(1, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP = 1
HEAD = struct.Struct(">BBHHBx")  # version, type, request id, content length, padding length


def record(kind, content=b"", request=1, version=1, length=None, padding=0):
    """length: what the header claims, when not the truth."""
    return HEAD.pack(version, kind, request, len(content) if length is None else length, padding) + content + bytes(padding)


def begin(role=RESPONDER, flags=0, request=1):
    return record(BEGIN, struct.pack(">HB5x", role, flags), request)


def length(n):
    return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)


def pairs(params):
    encoded = [(name.encode(), value.encode()) for name, value in params.items()]
    return b"".join(length(len(name)) + length(len(value)) + name + value for name, value in encoded)


def stream(kind, content, request=1):
    """The content in as many records as it takes, and the empty one that ends it."""
    parts = [content[at : at + 65535] for at in range(0, len(content), 65535)]
    return b"".join(record(kind, part, request) for part in [*parts, b""])


def receive(connection):
    """Whole records, as (type, content), until the other side ends."""
    file = connection.makefile("rb")
    while len(head := file.read(HEAD.size)) == HEAD.size:
        _, kind, _, n, padding = HEAD.unpack(head)
        content = file.read(n + padding)[:n]
        if len(content) < n:
            return
        yield kind, content


def parse_pairs(content):
    params, at = {}, 0
    while at < len(content):
        sizes = []
        for _ in range(2):
            wide = content[at] & 0x80
            sizes.append(struct.unpack_from(">I", content, at)[0] & 0x7FFFFFFF if wide else content[at])
            at += 4 if wide else 1
        name, value = content[at : at + sizes[0]], content[at + sizes[0] : at + sum(sizes)]
        params[name.decode()] = value.decode("latin-1")
        at += sum(sizes)
    return params


def cgi(status, body=b"", **headers):
    """A worker's answer; underscores in header names stand for dashes."""
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"Status: {status} Some Words\r\n{head}\r\n".encode() + body


class FakeWorker:
    """Listens on a pool's socket. `answer(params, body)` makes the whole answer; None hangs up instead."""

    def __init__(self, path):
        self.path, self.seen, self.sent = path, [], 0
        self.answer = lambda params, body: cgi(200, b"{}", Content_Type="application/json")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o666)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        streams = {PARAMS: b"", STDIN: b""}
        with connection:
            for kind, content in receive(connection):
                if kind in streams:
                    streams[kind] += content
                if kind == STDIN and not content:
                    break
            params = parse_pairs(streams[PARAMS])
            self.seen.append((params, streams[STDIN]))
            answer = self.answer(params, streams[STDIN])
            try:
                self._send(connection, answer)
            except OSError:  # the caller has gone, as some tests want it
                return

    def _send(self, connection, answer):
        if answer is None:
            return
        for at in range(0, len(answer), 32768):
            connection.sendall(record(STDOUT, answer[at : at + 32768]))
            self.sent = at + 32768
        connection.sendall(record(STDOUT) + record(END, bytes(8)))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink()
