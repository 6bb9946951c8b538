"""What the simulated provider knows: clients, consents, grants, all tokens ever, all requests.

Decides the life of tokens: caps, throttle, rotation, revocation, expiry. Knows nothing of HTTP, and
keeps nothing between runs: the journal is for reading afterwards.
"""

import hashlib
import json
import secrets
import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace

MINT_WINDOW_S = 600
LIVE_ACCESS_TOKENS = 15
ROTATIONS = ("never", "grace", "strict")


@dataclass
class Settings:
    token_ttl_s: float = 3600
    code_ttl_s: float = 60
    rotation: str = "never"
    grace_s: float = 30
    ms_form: bool = False
    latency_ms: float = 0
    mint_limit: int = 10
    cap: int = 20
    access_bytes: int = 70
    now_offset_s: float = 0


@dataclass(slots=True)
class Client:
    client_id: str
    client_secret: str
    redirect_uris: tuple
    datacenter: str = "us"
    multi_dc: bool = True
    secrets: dict = field(default_factory=dict)

    def known_at(self, datacenter: str) -> bool:
        """China stands alone: its clients are known nowhere else, and it knows no others."""
        if datacenter == self.datacenter:
            return True
        return self.multi_dc and "cn" not in (datacenter, self.datacenter)

    def secret_at(self, datacenter: str) -> str:
        return self.secrets.get(datacenter, self.client_secret)


@dataclass(slots=True)
class Grant:
    """One consent of one user for one client; rotation replaces tokens within it."""

    id: str
    client_id: str
    user: str
    datacenter: str
    scopes: tuple
    ended: bool = False
    window_started_at: float = float("-inf")
    window_mints: int = 0
    refresh_tokens: list = field(default_factory=list)
    access_tokens: deque = field(default_factory=deque)


@dataclass(slots=True)
class Token:
    id: str
    kind: str
    value: str
    grant: Grant
    parent: "Token | None"
    issued_at: float
    expires_at: "float | None"
    state: str = "live"
    ended_at: "float | None" = None
    mints: int = 0
    uses: int = 0


@dataclass(slots=True)
class Code:
    value: str
    client_id: str
    user: str
    datacenter: str
    redirect_uri: str
    scopes: tuple
    challenge: "str | None"
    offline: bool
    issued_at: float
    state: str = "live"


class Refused(Exception):
    """The provider says no; the text is Zoho's word for it."""


def new_value(size: int = 0) -> str:
    """In Zoho's shape, drawn out to that many bytes when it is shorter."""
    value = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}"
    return value + secrets.token_hex(max(0, size - len(value)))[: max(0, size - len(value))]


class Ledger:
    def __init__(self, journal=None):
        self.journal = journal
        self.clear()

    def clear(self):
        self.settings = Settings()
        self.own_settings = {}
        self.clients = {}
        self.consents = set()
        self.codes = {}
        self.grants = {}
        self.tokens = {}
        self.by_id = []
        self.requests = []
        self.grants_of_user = {}
        self.write("reset")

    def settings_of(self, client_id) -> Settings:
        """What holds for a client: its own settings over everybody's."""
        own = self.own_settings.get(client_id)
        return replace(self.settings, **own) if own else self.settings

    def now(self) -> float:
        return time.time() + self.settings.now_offset_s

    def write(self, event: str, **facts):
        if self.journal is not None:
            line = json.dumps({"event": event, "at": time.time(), **facts})
            self.journal.write(line + "\n")
            self.journal.flush()

    # --- consent and codes

    def first_consent(self, client_id: str, user: str, datacenter: str) -> bool:
        return (client_id, user, datacenter) not in self.consents

    def issue_code(self, **facts) -> Code:
        code = Code(value=new_value(), issued_at=self.now(), **facts)
        self.codes[code.value] = code
        if code.offline:
            self.consents.add((code.client_id, code.user, code.datacenter))
        return code

    def find_code(self, value: str, client_id: str, datacenter: str) -> Code:
        """A code that may be redeemed here and now. Refused otherwise."""
        code = self.codes.get(value)
        if code is None or (code.client_id, code.datacenter) != (client_id, datacenter):
            raise Refused("invalid_code")
        if self.code_state(code) != "live":
            raise Refused("invalid_code")
        return code

    def code_state(self, code: Code) -> str:
        late = self.now() >= code.issued_at + self.settings_of(code.client_id).code_ttl_s
        return "expired" if code.state == "live" and late else code.state

    def redeem(self, code: Code):
        """Returns (access token, refresh token or None)."""
        code.state = "used"
        grant = self.open_grant(code.client_id, code.user, code.datacenter, code.scopes)
        refresh = self.add_refresh_token(grant) if code.offline else None
        return self.mint(grant, refresh), refresh

    # --- grants and tokens

    def open_grant(self, client_id: str, user: str, datacenter: str, scopes: tuple) -> Grant:
        grant = Grant(f"g{len(self.grants) + 1}", client_id, user, datacenter, scopes)
        self.grants[grant.id] = grant
        return grant

    def add_refresh_token(self, grant: Grant, parent=None) -> Token:
        token = self._issue("refresh", grant, parent, None)
        grant.refresh_tokens.append(token)
        if parent is None:
            self._keep_cap(grant)
        return token

    def _keep_cap(self, newest: Grant):
        key = (newest.client_id, newest.user, newest.datacenter)
        living = [grant for grant in self.grants_of_user.get(key, []) if not grant.ended]
        living.append(newest)
        cap = self.settings_of(newest.client_id).cap
        while cap and len(living) > cap:
            self.end_grant(living.pop(0), "evicted")
        self.grants_of_user[key] = living

    def mint(self, grant: Grant, refresh) -> Token:
        """A new access token; the oldest living one beyond the provider's limit is evicted."""
        settings = self.settings_of(grant.client_id)
        expires_at = self.now() + settings.token_ttl_s
        token = self._issue("access", grant, refresh, expires_at, settings.access_bytes)
        if refresh is not None:
            refresh.mints += 1
        living = grant.access_tokens
        living.append(token)
        while living and self.state(living[0]) != "live":
            living.popleft()
        alive = [other for other in living if self.state(other) == "live"]
        for other in alive[:-LIVE_ACCESS_TOKENS]:
            self._end(other, "evicted")
        return token

    def _issue(self, kind: str, grant: Grant, parent, expires_at, size: int = 0) -> Token:
        token_id = f"{kind[0]}{len(self.by_id) + 1}"
        token = Token(token_id, kind, new_value(size), grant, parent, self.now(), expires_at)
        self.tokens[token.value] = token
        self.by_id.append(token)
        if self.journal is not None:
            self.write("token", token=self.token_row(token))
        return token

    def state(self, token: Token) -> str:
        late = token.expires_at is not None and self.now() >= token.expires_at
        return "expired" if token.state == "live" and late else token.state

    def find(self, value: str, kind: str, datacenter: str):
        """The token of that value, kind and data centre, whatever its state; else None."""
        token = self.tokens.get(value)
        if token is None or token.kind != kind or token.grant.datacenter != datacenter:
            return None
        return token

    def _usable(self, token: Token) -> bool:
        """Live, or rotated away so lately that the grace still holds."""
        if token.grant.ended:
            return False
        settings = self.settings_of(token.grant.client_id)
        if token.state == "rotated" and settings.rotation == "grace":
            return self.now() < token.ended_at + settings.grace_s
        return self.state(token) == "live"

    def renew(self, value: str, client_id: str, datacenter: str):
        """The refresh grant. Returns (access token, new refresh token or None) or is Refused."""
        token = self.find(value, "refresh", datacenter)
        if token is None or token.grant.client_id != client_id:
            raise Refused("invalid_code")
        grant, rotation = token.grant, self.settings_of(client_id).rotation
        if not self._usable(token):
            if token.state == "rotated" and rotation == "strict":
                self.end_grant(grant, "revoked")
            raise Refused("invalid_code")
        self._count_mint(grant)
        successor = None
        if rotation != "never":
            successor = self.add_refresh_token(grant, token)
            if token.state == "live":
                self._end(token, "rotated")
        return self.mint(grant, token), successor

    def _count_mint(self, grant: Grant):
        now, limit = self.now(), self.settings_of(grant.client_id).mint_limit
        if now - grant.window_started_at >= MINT_WINDOW_S:
            grant.window_started_at, grant.window_mints = now, 0
        if limit and grant.window_mints >= limit:
            raise Refused("throttled")
        grant.window_mints += 1

    # --- endings

    def _end(self, token: Token, state: str):
        token.state, token.ended_at = state, self.now()
        self.write("state", id=token.id, state=state)

    def end_grant(self, grant: Grant, state: str):
        """Ends every living token of the grant; what has ended before keeps its reason."""
        grant.ended = True
        for token in [*grant.refresh_tokens, *grant.access_tokens]:
            if self.state(token) == "live":
                self._end(token, state)

    def revoke_value(self, value: str, datacenter: str, kind=None, client_id=None):
        """The revoke endpoint: a refresh token ends its grant, an access token only itself."""
        token = self.tokens.get(value)
        if token is None or token.grant.datacenter != datacenter or not self._usable(token):
            raise Refused("invalid_token")
        if kind not in (None, token.kind) or client_id not in (None, token.grant.client_id):
            raise Refused("invalid_token")
        if token.kind == "refresh":
            self.end_grant(token.grant, "revoked")
        else:
            self._end(token, "revoked")

    def withdraw(self, user, client_id):
        """A person takes consent back (None: everybody, every client). Returns the grants ended.

        Codes under way die too, and the next consent is a first one again.
        """

        def meant(who, client):
            return user in (None, who) and client_id in (None, client)

        living = [grant for grant in self.grants.values() if not grant.ended]
        grants = [grant for grant in living if meant(grant.user, grant.client_id)]
        for grant in grants:
            self.end_grant(grant, "revoked")
        for code in self.codes.values():
            if self.code_state(code) == "live" and meant(code.user, code.client_id):
                code.state = "revoked"
        self.consents = {key for key in self.consents if not meant(key[1], key[0])}
        return len(grants)

    def expire(self, grants) -> int:
        """Living access tokens run out now. Returns how many did."""
        living = [t for grant in grants for t in grant.access_tokens if self.state(t) == "live"]
        for token in living:
            token.expires_at = self.now()
            self._end(token, "expired")
        return len(living)

    # --- the record of requests

    def arrive(self, **facts) -> dict:
        row = {"seq": len(self.requests) + 1, "time": self.now(), "outcome": "pending"}
        row.update(facts, status=None, fault=None, answered=False)
        self.requests.append(row)
        return row

    def finish(self, row: dict):
        self.write("request", request=row)

    # --- reading

    def token_row(self, token: Token) -> dict:
        grant = token.grant
        return {
            "id": token.id,
            "kind": token.kind,
            "value": token.value,
            "sha256": hashlib.sha256(token.value.encode()).hexdigest(),
            "grant": grant.id,
            "user": grant.user,
            "client_id": grant.client_id,
            "datacenter": grant.datacenter,
            "scope": " ".join(grant.scopes),
            "parent": token.parent.id if token.parent else None,
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
            "state": self.state(token),
            "ended_at": token.ended_at,
            "mints": token.mints,
            "uses": token.uses,
        }

    def code_row(self, code: Code) -> dict:
        row = {name: getattr(code, name) for name in ("value", "client_id", "user", "datacenter")}
        digest = hashlib.sha256(code.value.encode()).hexdigest()
        return row | {"sha256": digest, "issued_at": code.issued_at, "state": self.code_state(code)}

    def snapshot(self, client_id=None) -> dict:
        """Everything, or what belongs to one client."""

        def meant(owner) -> bool:
            return client_id in (None, owner)

        return {
            "now": self.now(),
            "tokens": [self.token_row(t) for t in self.by_id if meant(t.grant.client_id)],
            "codes": [self.code_row(code) for code in self.codes.values() if meant(code.client_id)],
            "requests": [row for row in self.requests if meant(row["client_id"])],
            "settings": asdict(self.settings_of(client_id)),
        }
