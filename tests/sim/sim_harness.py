"""The tests' side of the simulator: one object that asks it over real connections."""

import base64
import hashlib
import http.client
import json
import re
import socket
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import pytest

PROGRAM = Path(__file__).with_name("zoho_sim.py")
CALLBACK = "https://vestal.example/api/oauth/callback/zoho_crm"
SCOPES = "ZohoCRM.modules.ALL,ZohoCRM.users.READ,ZohoCRM.org.READ"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]
HOSTS = {name: f"127.0.0.{n}" for n, name in enumerate("us eu in au jp ca sa cn uk ae".split(), 1)}
VALUE = re.compile(r"1000\.[0-9a-f]{32}\.[0-9a-f]{32,}")


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = build_opener(Stay, ProxyHandler({}))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Sim:
    def __init__(self, port):
        self.port = port

    def url(self, path, datacenter="us"):
        return f"http://{HOSTS[datacenter]}:{self.port}{path}"

    def ask(self, path, datacenter="us", method=None, form=None, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        data = urlencode(form).encode() if form is not None else body
        request = Request(self.url(path, datacenter), data, headers, method=method)
        try:
            with OPENER.open(request, timeout=15) as reply:
                return Answer(reply.status, reply.headers, reply.read())
        except HTTPError as reply:
            with reply:
                return Answer(reply.code, reply.headers, reply.read())

    def control(self, name, body=None, method="POST", expect=200):
        data = None if body is None else json.dumps(body).encode()
        answer = self.ask(f"/__sim/{name}", method=method, body=data)
        assert answer.status == expect, answer.body
        return answer.json

    def client(self, client_id="1000.ACME", **more):
        fields = {"client_id": client_id, "client_secret": "s3", "redirect_uris": [CALLBACK]}
        self.control("clients", fields | more)

    def issue(self, **more):
        return self.control("issue", {"client_id": "1000.ACME"} | more)["grants"]

    def authorize_url(self, datacenter="us", **more):
        query = {
            "response_type": "code", "client_id": "1000.ACME", "redirect_uri": CALLBACK,
            "scope": SCOPES, "access_type": "offline", "prompt": "consent", "state": "a/b+c&=%",
        } | more  # fmt: skip
        kept = {name: value for name, value in query.items() if value is not None}
        return self.url(f"/oauth/v2/auth?{urlencode(kept)}", datacenter)

    def consent(self, url=None, **more):
        location = self.control("consent", {"authorize_url": url or self.authorize_url()} | more)
        return dict(parse_qsl(urlsplit(location["location"]).query))

    def token(self, datacenter="us", **form):
        form = {"client_id": "1000.ACME", "client_secret": "s3"} | form
        return self.ask("/oauth/v2/token", datacenter, form=form)

    def exchange(self, code, datacenter="us", **more):
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.token(datacenter, **form | more)

    def refresh(self, value, datacenter="us", **more):
        return self.token(datacenter, grant_type="refresh_token", refresh_token=value, **more)

    def probe(self, access, path="/crm/v8/users?type=CurrentUser", datacenter="us"):
        return self.ask(path, datacenter, Authorization=f"Zoho-oauthtoken {access}")

    def revoke(self, value, datacenter="us"):
        return self.ask("/oauth/v2/token/revoke", datacenter, form={"token": value})

    def ledger(self, client_id=None):
        """All of it, or what belongs to one client."""
        query = f"?{urlencode({'client_id': client_id})}" if client_id else ""
        return self.control(f"ledger{query}", method="GET")

    def state(self, value):
        return next(row["state"] for row in self.ledger()["tokens"] if row["value"] == value)

    def dropped(self, value):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            self.refresh(value)

    def open_refresh(self, value):
        """A refresh under way on a socket of the test's own."""
        form = {"client_id": "1000.ACME", "client_secret": "s3"}
        body = urlencode(form | {"grant_type": "refresh_token", "refresh_token": value})
        head = "POST /oauth/v2/token HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n"
        kind = "Content-Type: application/x-www-form-urlencoded\r\n"
        caller = socket.create_connection((HOSTS["us"], self.port), timeout=15)
        caller.sendall(f"{head}{kind}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return caller
