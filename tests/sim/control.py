"""The tests' own door: /__sim, JSON in and out.

Decides which requests are well formed; every unknown or mistyped field is refused, so that a test
with a slip fails at the slip. What then happens is decided by the ledger and the faults.
"""

import json
from dataclasses import asdict
from urllib.parse import parse_qs, urlencode, urlsplit

from faults import PLACES
from ledger import ROTATIONS, Client, Ledger, Refused
from wire import BadRequest, Request, Response, json_response
from zoho import DATACENTERS, DEFAULT_USER, address_of, origin_of, split_scopes

NUMBER = (int, float)
ALL_PROBES = (
    "ZohoCRM.users.READ,ZohoCRM.org.READ,ZohoCRM.modules.ALL,"
    "ZohoCalendar.calendar.ALL,AaaServer.profile.READ"
)
CLIENT = {
    "client_id": (str, ...), "client_secret": (str, ...), "redirect_uris": (list, ...),
    "datacenter": (str, "us"), "multi_dc": (bool, True), "secrets": (dict, {}),
}  # fmt: skip
ISSUE = {
    "client_id": (str, ...), "user": (str, DEFAULT_USER), "datacenter": (str, "us"),
    "scope": (str, ALL_PROBES), "count": (int, 1),
}  # fmt: skip
CONSENT = {
    "authorize_url": (str, ...), "user": (str, DEFAULT_USER), "datacenter": (str, None),
    "decision": (str, "accept"),
}  # fmt: skip
WAIT = {
    "at": (str, ...), "count": (int, ...), "timeout_s": (NUMBER, 10),
    "datacenter": (str, None), "grant": (str, None), "client_id": (str, None),
}  # fmt: skip
SELECTOR = {
    "user": (str, None), "client_id": (str, None), "refresh_token": (str, None),
    "all": (bool, False),
}  # fmt: skip
SETTINGS = {
    "token_ttl_s": NUMBER, "code_ttl_s": NUMBER, "rotation": str, "grace_s": NUMBER,
    "ms_form": bool, "latency_ms": NUMBER, "mint_limit": int, "cap": int, "access_bytes": int,
    "now_offset_s": NUMBER, "client_id": str,
}  # fmt: skip


def parse(request: Request):
    try:
        return json.loads(request.body or b"{}")
    except ValueError:
        raise BadRequest("the body is not JSON") from None


def of_type(value, kind) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def checked(body, fields: dict) -> dict:
    """The fields with their defaults filled in. BadRequest names what is wrong."""
    if not isinstance(body, dict):
        raise BadRequest("the body is not an object")
    for name, value in body.items():
        if name not in fields or not of_type(value, fields[name][0]):
            raise BadRequest(f"{name}: unknown or of the wrong type")
    filled = {name: body.get(name, default) for name, (_, default) in fields.items()}
    if ... in filled.values():
        raise BadRequest(f"needed: {[name for name in filled if filled[name] is ...]}")
    if filled.get("datacenter") not in (None, *DATACENTERS):
        raise BadRequest("datacenter: unknown")
    return filled


class Control:
    def __init__(self, ledger: Ledger, faults, watch, perform, port: int):
        self.ledger, self.faults, self.watch = ledger, faults, watch
        self.perform, self.port = perform, port
        self.routes = {
            ("POST", "/__sim/clients"): self.register,
            ("POST", "/__sim/reset"): self.reset,
            ("POST", "/__sim/revoke"): self.revoke,
            ("POST", "/__sim/expire"): self.expire,
            ("POST", "/__sim/issue"): self.issue,
            ("POST", "/__sim/consent"): self.consent,
            ("GET", "/__sim/settings"): lambda _: asdict(self.ledger.settings),
            ("POST", "/__sim/settings"): self.set,
            ("GET", "/__sim/faults"): lambda _: [rule.row() for rule in self.faults.rules],
            ("POST", "/__sim/faults"): self.add_faults,
            ("DELETE", "/__sim/faults"): self.clear_faults,
            ("GET", "/__sim/hang-count"): lambda _: {"hanging": self.watch.count("hang")},
        }

    async def handle(self, request: Request) -> Response:
        try:
            if (request.method, request.path) == ("POST", "/__sim/wait"):
                return await self.wait(parse(request))
            if (request.method, request.path) == ("GET", "/__sim/ledger"):
                return json_response(self.read(request.query))
            route = self.routes.get((request.method, request.path))
            if route is None:
                return json_response({"error": "no such control"}, 404)
            return json_response(route(parse(request)))
        except (BadRequest, Refused) as fault:
            return json_response({"error": str(fault)}, 400)

    # --- what there is

    def register(self, body) -> dict:
        """Makes or replaces a client; the grants of an earlier one of that name stay."""
        fields = checked(body, CLIENT)
        uris, own = fields["redirect_uris"], fields["secrets"]
        if not uris or not all(isinstance(uri, str) for uri in uris):
            raise BadRequest("redirect_uris: a list of strings")
        if not all(dc in DATACENTERS and isinstance(own[dc], str) for dc in own):
            raise BadRequest("secrets: data centre to secret")
        client = Client(**fields | {"redirect_uris": tuple(uris)})
        self.ledger.clients[client.client_id] = client
        self.ledger.write("client", client_id=client.client_id, datacenter=client.datacenter)
        return {"client_id": client.client_id, "datacenter": client.datacenter}

    def reset(self, body) -> dict:
        """Back to the first moment: no clients, grants, rules, settings; what hangs is dropped."""
        checked(body, {})
        self.faults.clear(drop=True)
        self.ledger.clear()
        self.watch.clear()
        return {}

    def read(self, query: str) -> dict:
        """The ledger, all of it or of one client."""
        asked = parse_qs(query, keep_blank_values=True)
        if asked.keys() - {"client_id"}:
            raise BadRequest("the ledger is asked for by client_id only")
        return self.ledger.snapshot(*asked.get("client_id", []))

    def set(self, body) -> dict:
        """Changes what holds for everybody, or, given a client_id, for that client alone."""
        wanted = checked(body, {name: (kind, None) for name, kind in SETTINGS.items()})
        client_id = wanted.pop("client_id")
        changes = {name: value for name, value in wanted.items() if value is not None}
        if changes.get("rotation", "never") not in ROTATIONS:
            raise BadRequest(f"rotation: one of {', '.join(ROTATIONS)}")
        for name, value in changes.items():
            if isinstance(value, NUMBER) and value < 0 and name != "now_offset_s":
                raise BadRequest(f"{name}: negative")
        if client_id is not None:
            if "now_offset_s" in changes:
                raise BadRequest("now_offset_s: there is one clock")
            self.ledger.own_settings.setdefault(client_id, {}).update(changes)
        else:
            for name, value in changes.items():
                setattr(self.ledger.settings, name, value)
        return asdict(self.ledger.settings_of(client_id))

    # --- what users do

    def issue(self, body) -> dict:
        """Grants as if consented to; `{n}` in the user's name becomes 0, 1, 2 …"""
        fields = checked(body, ISSUE)
        client = self.ledger.clients.get(fields["client_id"])
        if client is None or not client.known_at(fields["datacenter"]):
            raise BadRequest("client_id: unknown at that data centre")
        scopes = split_scopes(fields["scope"].replace(" ", ","))
        grants = []
        for number in range(fields["count"]):
            user = fields["user"].replace("{n}", str(number))
            grants.append(self._grant(client, user, fields["datacenter"], scopes))
        return {"grants": grants}

    def _grant(self, client: Client, user: str, datacenter: str, scopes: tuple) -> dict:
        grant = self.ledger.open_grant(client.client_id, user, datacenter, scopes)
        self.ledger.consents.add((client.client_id, user, datacenter))
        refresh = self.ledger.add_refresh_token(grant)
        access = self.ledger.mint(grant, refresh)
        return {
            "grant": grant.id,
            "user": user,
            "datacenter": datacenter,
            "refresh_token": refresh.value,
            "refresh_token_id": refresh.id,
            "access_token": access.value,
            "expires_at": access.expires_at,
            "api_domain": origin_of(datacenter, self.port),
            "scope": " ".join(scopes),
        }

    def consent(self, body) -> dict:
        """The scripted browser: opens the URL's form, fills it in, presses a button."""
        fields = checked(body, CONSENT)
        url = urlsplit(fields["authorize_url"])
        hosts = {f"{address_of(dc)}:{self.port}": dc for dc in DATACENTERS}
        hosts[f"localhost:{self.port}"] = "us"
        if url.scheme != "http" or url.netloc not in hosts or url.path != "/oauth/v2/auth":
            raise BadRequest("authorize_url: not an authorization URL of this simulator")
        names = ("user", "datacenter", "decision")
        form = urlencode({name: fields[name] for name in names if fields[name] is not None})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        line = ("POST", url.path, url.query, headers, form.encode(), False, hosts[url.netloc])
        response = self.perform(Request(*line))
        if response.status != 302:
            raise BadRequest(f"the provider shows a page: {response.body.decode()}")
        return {"location": response.headers["Location"]}

    def _selected(self, body) -> tuple:
        """(user, client_id, the grant of a refresh token or None) of a selector."""
        fields = checked(body, SELECTOR)
        if not any(fields.values()) or (fields["all"] and len(body) > 1):
            raise BadRequest("select by user, client_id, refresh_token, or all")
        if fields["refresh_token"] is None:
            return fields["user"], fields["client_id"], None
        token = self.ledger.tokens.get(fields["refresh_token"])
        if token is None or token.kind != "refresh" or len(body) > 1:
            raise BadRequest("refresh_token: never issued here, or not alone")
        return None, None, token.grant

    def revoke(self, body) -> dict:
        user, client_id, grant = self._selected(body)
        if grant is None:
            return {"grants": self.ledger.withdraw(user, client_id)}
        ended = not grant.ended
        self.ledger.end_grant(grant, "revoked")
        return {"grants": int(ended)}

    def expire(self, body) -> dict:
        user, client_id, grant = self._selected(body)
        grants = [grant] if grant else list(self.ledger.grants.values())
        chosen = (
            grant
            for grant in grants
            if user in (None, grant.user) and client_id in (None, grant.client_id)
        )
        return {"tokens": self.ledger.expire(chosen)}

    # --- what goes wrong

    def add_faults(self, body) -> list:
        rules = body if isinstance(body, list) else [body]
        if not rules or not all(isinstance(rule, dict) for rule in rules):
            raise BadRequest("a rule, or a list of rules")
        return self.faults.add(rules)

    def clear_faults(self, body) -> list:
        checked(body, {})
        self.faults.clear()
        return []

    async def wait(self, body) -> Response:
        """Blocks until so many requests have arrived since the last reset (at "hang": hang now)."""
        fields = checked(body, WAIT)
        place = [fields[name] for name in ("at", "datacenter", "grant", "client_id")]
        if fields["at"] not in (*PLACES, "hang"):
            raise BadRequest(f"at: {', '.join(PLACES)} or hang")
        reached = await self.watch.wait(fields["count"], fields["timeout_s"], *place)
        return json_response({"count": self.watch.count(*place)}, 200 if reached else 504)
