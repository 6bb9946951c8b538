"""The OpenID provider of provider.mjs, and the user who consents in his browser.

Needs node 18 or later and npm; the package is installed once, outside the source tree's own folders.
"""

import base64
import fcntl
import hashlib
import http.client
import http.cookiejar
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, ProxyHandler, Request, build_opener

HERE = Path(__file__).resolve().parent


def install(folder):
    """provider.mjs with its package in that folder; npm is asked only when the lock file is another."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with open(folder / "busy", "w", encoding="ascii") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        installed = folder / "installed"
        if not installed.exists() or installed.read_text() != lock:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder)
            npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
            assert done.returncode == 0, done.stdout + done.stderr
            installed.write_text(lock)
        shutil.copy(HERE / "provider.mjs", folder)
    return folder / "provider.mjs"


class Stay(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = build_opener(Stay, ProxyHandler({}))


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self):
        self.opener = build_opener(Stay, ProxyHandler({}), HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def open(self, url, form=None):
        """Status, where it redirects to, the page."""
        data = urlencode(form).encode() if form is not None else None
        try:
            reply = self.opener.open(Request(url, data), timeout=15)
        except HTTPError as error:
            reply = error
        with reply:
            location = reply.headers.get("Location")
            return reply.status, location and urljoin(url, location), reply.read().decode()


class OidcProvider:
    """A running provider. Its one client is called "app1"."""

    client_id = "app1"

    def __init__(self, program, folder, port, redirect_uris, client_secret, rotation=True):
        """program: what install() gave; folder: where its log goes."""
        self.port, self.client_secret = port, client_secret
        self.issuer = f"http://127.0.0.1:{port}"
        settings = {
            "PORT": str(port), "CLIENT_ID": self.client_id, "CLIENT_SECRET": client_secret,
            "REDIRECT_URIS": " ".join(redirect_uris), "ROTATION": "1" if rotation else "0",
        }  # fmt: skip
        self.log = Path(folder) / f"oidc-{port}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.environ.get("NODE", "node"), str(program)], stdout=subprocess.PIPE, stderr=log,
                stdin=subprocess.DEVNULL, env={**os.environ, **settings})  # fmt: skip
        line = self.process.stdout.readline()
        if not line.startswith(b"listening"):
            self.stop()
            raise RuntimeError(f"the provider did not start: {self.log.read_text()[-2000:]}")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    # --- the tests' door

    def control(self, method, name, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, f"/__test/{name}", None if body is None else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    def fault(self, mode, **more):
        """For the next POST to more["path"] ("/token"): status, drop_before or drop_after."""
        assert mode in ("status", "drop_before", "drop_after")
        self.control("POST", "fault", {"mode": mode} | more)

    def clear_faults(self):
        self.control("POST", "fault", {"times": 0})

    def withdraw(self):
        self.control("POST", "withdraw", {})

    def ledger(self):
        return self.control("GET", "ledger")

    def tokens(self, kind, user):
        """Oldest first, the dead ones too. kind: AccessToken, RefreshToken or AuthorizationCode."""
        return [row for row in self.ledger()["tokens"] if (row["kind"], row["user"]) == (kind, user)]

    def secrets(self):
        """Everything of it that must not be found where it does not belong."""
        ledger = self.ledger()
        verifiers = [row["verifier"] for row in ledger["requests"] if row.get("verifier")]
        return {row["value"] for row in ledger["tokens"]} | set(verifiers) | {self.client_secret}

    def refresh(self, value):
        """Renews with that refresh token as its client would; the status."""
        basic = base64.b64encode(f"{self.client_id}:{quote_plus(self.client_secret)}".encode()).decode()
        form = urlencode({"grant_type": "refresh_token", "refresh_token": value}).encode()
        try:
            with OPENER.open(Request(f"{self.issuer}/token", form, {"Authorization": f"Basic {basic}"}), timeout=15) as reply:
                return reply.status
        except HTTPError as error:
            with error:
                return error.code

    def asked(self, path="/token"):
        """How often that path was posted to."""
        return sum(1 for row in self.ledger()["requests"] if row["method"] == "POST" and row["path"] == path)

    # --- the user

    def consent(self, authorization_url, user="alice"):
        """Logs in and grants. Where the provider then sends the browser: the callback's whole URL."""
        return self._walk(authorization_url, lambda browser, url: self._fill_in(browser, url, user))

    def deny(self, authorization_url):
        return self._walk(authorization_url, lambda browser, url: browser.open(f"{url}/abort"))

    def _walk(self, url, decide):
        browser = Browser()
        assert url.startswith(self.issuer), url
        for _ in range(8):
            if urlsplit(url).path.startswith("/interaction/"):
                status, location, page = decide(browser, url)
            else:
                status, location, page = browser.open(url)
            assert status in (302, 303) and location, f"{status}: {re.sub('<[^>]*>', '', page)[-500:]}"
            if not location.startswith(self.issuer):
                return location
            url = location
        raise AssertionError("no end of redirects")

    @staticmethod
    def _fill_in(browser, url, user):
        _, _, page = browser.open(url)
        prompt = re.search(r'name="prompt" value="([a-z]+)"', page)
        assert prompt, page[:500]
        form = {"prompt": prompt[1]}
        if prompt[1] == "login":
            form |= {"login": user, "password": "any"}
        return browser.open(url, form)
