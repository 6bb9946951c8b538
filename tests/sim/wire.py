"""HTTP/1.1 as bytes: parses requests, writes answers, notices a caller that hangs up.

Decides framing, limits and keep-alive. Knows nothing of OAuth, faults or the ledger.
"""

import asyncio
import base64
import binascii
import json
import sys
import traceback
from http import HTTPStatus
from urllib.parse import parse_qsl

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_CONNECTIONS = 4096


class BadRequest(Exception):
    """Input that no handler will look at; the text is for the person who sent it."""


def form_pairs(text: str) -> dict:
    """Decodes a query or form; empty pairs are nothing, a repeated name is a BadRequest."""
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("repeated parameter")
    return fields


class Request:
    __slots__ = ("method", "path", "query", "headers", "body", "keep_alive", "datacenter")

    def __init__(self, method, path, query, headers, body, keep_alive, datacenter):
        self.method, self.path, self.query = method, path, query
        self.headers, self.body = headers, body
        self.keep_alive, self.datacenter = keep_alive, datacenter

    def form(self) -> dict:
        """The urlencoded body. Any other content type holds no fields."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        return form_pairs(self.body.decode("utf-8", "replace"))

    def basic(self):
        """(id, secret) of a Basic header as sent, or None."""
        word, _, blob = self.headers.get("authorization", "").partition(" ")
        if word.lower() != "basic":
            return None
        try:
            name, colon, secret = base64.b64decode(blob, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (name, secret) if colon else None


class Response:
    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, body: bytes = b"", content_type: str = "", **headers):
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            self.headers["Content-Type"] = content_type

    def render(self, keep_alive: bool) -> bytes:
        return self.head(keep_alive, len(self.body)) + self.body

    def head(self, keep_alive: bool, length) -> bytes:
        """The status line and headers; length None leaves the end of the body to the close."""
        lines = [f"HTTP/1.1 {self.status} {reason(self.status)}", "Server: ZGS"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if length is not None and self.status != 204:
            lines.append(f"Content-Length: {length}")
        lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def json_response(value, status: int = 200) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(status, body, "application/json;charset=UTF-8", Cache_Control="no-store")


def html_response(page: str, status: int = 200) -> Response:
    return Response(status, page.encode(), "text/html;charset=UTF-8", Cache_Control="no-store")


class Connection(asyncio.Protocol):
    """One caller. Requests of one connection are answered in order, one at a time."""

    open_count = 0

    def __init__(self, app, datacenter: str):
        self.app, self.datacenter = app, datacenter
        self.buffer = bytearray()
        self.task = None
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.continued = False

    # --- what asyncio tells us

    def connection_made(self, transport):
        self.transport = transport
        Connection.open_count += 1
        if Connection.open_count > MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, error):
        Connection.open_count -= 1
        self.gone.set()
        self.writable.set()

    def eof_received(self):
        self.gone.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def data_received(self, data):
        self.buffer += data
        if len(self.buffer) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            self.transport.abort()
        else:
            self._next()

    # --- what the application does with it

    async def send(self, data: bytes) -> int:
        """Hands bytes to the caller. Returns how many, 0 when it has hung up."""
        if self.gone.is_set() or self.transport.is_closing():
            return 0
        self.transport.write(data)
        await self.writable.wait()
        return len(data)

    async def reply(self, request: Request, response: Response) -> int:
        if request.method == "HEAD":
            data = response.head(request.keep_alive, len(response.body))
        else:
            data = response.render(request.keep_alive)
        sent = await self.send(data)
        if not request.keep_alive:
            self.close()
        return sent

    def close(self):
        self.transport.close()

    def drop(self):
        """Ends the connection without another byte."""
        self.transport.abort()

    # --- parsing

    def _next(self):
        if self.task is not None or self.transport.is_closing():
            return
        try:
            request = self._take()
        except BadRequest as fault:
            answer = Response(400, f"{fault}\n".encode(), "text/plain").render(False)
            self.transport.write(answer)
            self.transport.close()
            return
        if request is not None:
            self.task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request):
        try:
            await self.app(request, self)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self.drop()
        finally:
            self.task = None
        self._next()

    def _take(self):
        """The next whole request of the buffer, or None while it is incomplete."""
        end = self.buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self.buffer) >= MAX_HEAD_BYTES:
                raise BadRequest("request head too large")
            return None
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        method, target, version = split_request_line(lines[0])
        headers = split_headers(lines[1:])
        length = body_length(headers)
        if len(self.buffer) < end + 4 + length:
            if headers.get("expect", "").lower() == "100-continue" and not self.continued:
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        del self.buffer[: end + 4 + length]
        self.continued = False
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        path, _, query = target.partition("?")
        return Request(method, path, query, headers, body, keep, self.datacenter)


def split_request_line(line: str):
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/") or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest("bad request line")
    return parts


def split_headers(lines) -> dict:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest("bad header")
        name = name.lower()
        if name in headers and name in ("content-length", "authorization", "host"):
            raise BadRequest("repeated header")
        headers[name] = value.strip()
    return headers


def body_length(headers: dict) -> int:
    if "transfer-encoding" in headers:
        raise BadRequest("transfer encodings are not supported")
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or int(text) > MAX_BODY_BYTES:
        raise BadRequest("bad content length")
    return int(text)
