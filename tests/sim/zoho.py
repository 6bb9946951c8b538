"""Zoho's accounts server: consent, token, revocation, server directory.

Decides what is answered to whom, after the provider's public pages. The life of tokens is the
ledger's; faults and latency are laid over this from outside.
"""

import base64
import hashlib
import re
from urllib.parse import quote, urlencode

import pages
from ledger import Client, Ledger, Refused
from wire import BadRequest, Request, Response, form_pairs, html_response, json_response

DATACENTERS = ("us", "eu", "in", "au", "jp", "ca", "sa", "cn", "uk", "ae")
DEFAULT_USER = "admin@acme.example"
SCOPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){2,4}")
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
USER = re.compile(r"[^\x00-\x1f\x7f]{1,254}")
THROTTLED = {
    "error": "Access Denied",
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "status": "failure",
}


def address_of(datacenter: str) -> str:
    return f"127.0.0.{DATACENTERS.index(datacenter) + 1}"


def origin_of(datacenter: str, port: int) -> str:
    return f"http://{address_of(datacenter)}:{port}"


def split_scopes(text: str) -> tuple:
    """Zoho's comma separated list. Refused when one is not Service.scope.OPERATION."""
    scopes = tuple(text.split(","))
    if not all(SCOPE.fullmatch(scope) for scope in scopes):
        raise Refused("invalid_scope")
    return scopes


def redirect(uri: str, fields: dict) -> Response:
    """302 with the trailing `&` of the real callbacks; a query in the URI is kept."""
    query = urlencode(fields, quote_via=quote, safe="")
    location = f"{uri}{'&' if '?' in uri else '?'}{query}&"
    return Response(302, Location=location, Cache_Control="no-store")


class Accounts:
    def __init__(self, ledger: Ledger, port: int):
        self.ledger, self.port = ledger, port

    # --- GET and POST /oauth/v2/auth

    def authorize(self, request: Request, row: dict) -> Response:
        params = form_pairs(request.query)
        if request.method == "POST":
            return self.decide(request.datacenter, params, request.form(), row)
        client = self._client_of(request.datacenter, params)
        try:
            scopes = self._check_request(params)
        except Refused as refusal:
            return self._refuse(params, refusal, row)
        row["outcome"] = "page"
        choices = self._choices(client)
        arguments = (client.client_id, scopes, request.datacenter, choices, request.query)
        return html_response(pages.consent(*arguments, DEFAULT_USER))

    def decide(self, datacenter: str, params: dict, choice: dict, row: dict) -> Response:
        """What the consent form does. `choice` holds user, datacenter and decision."""
        client = self._client_of(datacenter, params)
        user, chosen = choice.get("user", DEFAULT_USER), choice.get("datacenter", datacenter)
        if not USER.fullmatch(user) or chosen not in self._choices(client):
            raise BadRequest("Invalid user or data centre")
        if choice.get("decision") not in ("accept", "deny"):
            raise BadRequest("Invalid decision")
        try:
            scopes = self._check_request(params)
            if choice["decision"] == "deny":
                raise Refused("access_denied")
        except Refused as refusal:
            return self._refuse(params, refusal, row)
        row["outcome"] = "ok"
        return self._accept(client, user, chosen, scopes, params)

    def _accept(self, client: Client, user: str, datacenter: str, scopes, params) -> Response:
        first = self.ledger.first_consent(client.client_id, user, datacenter)
        again = "consent" in params.get("prompt", "").split()
        code = self.ledger.issue_code(
            client_id=client.client_id,
            user=user,
            datacenter=datacenter,
            redirect_uri=params["redirect_uri"],
            scopes=scopes,
            challenge=params.get("code_challenge"),
            offline=params.get("access_type") == "offline" and (first or again),
        )
        origin = origin_of(datacenter, self.port)
        fields = {"code": code.value, "location": datacenter, "accounts-server": origin}
        return redirect(params["redirect_uri"], self._with_state(fields, params))

    def _client_of(self, datacenter: str, params: dict) -> Client:
        """Faults that are shown to the person and never sent to the redirect URI."""
        client = self.ledger.clients.get(params.get("client_id"))
        if client is None or not client.known_at(datacenter):
            raise BadRequest("Invalid Client ID passed")
        if params.get("redirect_uri") not in client.redirect_uris:
            raise BadRequest("Invalid Redirect Uri: Redirect URI passed does not match")
        return client

    def _check_request(self, params: dict) -> tuple:
        if params.get("response_type") != "code":
            raise Refused("invalid_response_type")
        method, challenge = params.get("code_challenge_method"), params.get("code_challenge")
        if (method, challenge) != (None, None):
            if method != "S256" or not CHALLENGE.fullmatch(challenge or ""):
                raise Refused("invalid_request")
        return split_scopes(params.get("scope", ""))

    def _refuse(self, params: dict, refusal: Refused, row: dict) -> Response:
        row["outcome"] = str(refusal)
        return redirect(params["redirect_uri"], self._with_state({"error": str(refusal)}, params))

    @staticmethod
    def _with_state(fields: dict, params: dict) -> dict:
        return fields | ({"state": params["state"]} if "state" in params else {})

    @staticmethod
    def _choices(client: Client) -> list:
        return [datacenter for datacenter in DATACENTERS if client.known_at(datacenter)]

    # --- POST /oauth/v2/token

    def token(self, request: Request, row: dict) -> Response:
        fields = request.form()
        if request.method != "POST" or "grant_type" not in fields:
            raise BadRequest("Invalid request")
        try:
            client = self._authenticate(request, fields)
            if fields["grant_type"] == "authorization_code":
                access, refresh = self._exchange(client, request.datacenter, fields)
            elif fields["grant_type"] == "refresh_token":
                value = fields.get("refresh_token", "")
                access, refresh = self.ledger.renew(value, client.client_id, request.datacenter)
            else:
                raise Refused("invalid_client")
        except Refused as refusal:
            row["outcome"] = str(refusal)
            if str(refusal) == "throttled":
                return json_response(THROTTLED, 400)
            return json_response({"error": str(refusal)})
        row["outcome"] = "ok"
        row["refresh_token"] = row["refresh_token"] or (refresh.id if refresh else None)
        row["minted"] = access.id
        return json_response(self._success(access, refresh))

    def _authenticate(self, request: Request, fields: dict) -> Client:
        pair = request.basic() or (fields.get("client_id"), fields.get("client_secret"))
        client, secret = self.ledger.clients.get(pair[0]), pair[1]
        if client is None or not client.known_at(request.datacenter):
            raise Refused("invalid_client")
        if secret != client.secret_at(request.datacenter):
            elsewhere = secret in (client.client_secret, *client.secrets.values())
            raise Refused("invalid_client" if elsewhere else "invalid_client_secret")
        return client

    def _exchange(self, client: Client, datacenter: str, fields: dict):
        code = self.ledger.find_code(fields.get("code", ""), client.client_id, datacenter)
        if fields.get("redirect_uri") != code.redirect_uri:
            raise Refused("invalid_redirect_uri")
        if not verifier_matches(code.challenge, fields.get("code_verifier")):
            raise Refused("invalid_code")
        return self.ledger.redeem(code)

    def _success(self, access, refresh) -> dict:
        settings = self.ledger.settings_of(access.grant.client_id)
        answer = {"access_token": access.value}
        if refresh is not None:
            answer["refresh_token"] = refresh.value
        answer["scope"] = " ".join(access.grant.scopes)
        answer["api_domain"] = origin_of(access.grant.datacenter, self.port)
        answer["token_type"] = "Bearer"
        answer["expires_in"] = whole(settings.token_ttl_s)
        if settings.ms_form:
            answer["expires_in_sec"] = whole(settings.token_ttl_s)
            answer["expires_in"] = whole(settings.token_ttl_s * 1000)
        return answer

    # --- revocation, both documented forms

    def revoke(self, request: Request, row: dict) -> Response:
        """The long-standing form: the token alone, in the body."""
        return self._revoke(request, row, request.form(), None, None)

    def revoke_by_client(self, request: Request, row: dict) -> Response:
        """The newer form: Basic credentials, token and token_type."""
        fields = request.form()
        kind = {"refresh_token": "refresh", "access_token": "access"}.get(fields.get("token_type"))
        if request.basic() is None or kind is None:
            raise BadRequest("Invalid request")
        try:
            client = self._authenticate(request, {})
        except Refused as refusal:
            row["outcome"] = str(refusal)
            return json_response({"error": str(refusal)})
        return self._revoke(request, row, fields, kind, client.client_id)

    def _revoke(self, request, row, fields, kind, client_id) -> Response:
        if request.method != "POST":
            raise BadRequest("Invalid request")
        try:
            self.ledger.revoke_value(fields.get("token", ""), request.datacenter, kind, client_id)
        except Refused as refusal:
            row["outcome"] = str(refusal)
            return html_response(pages.refusal("Invalid token"), 400)
        row["outcome"] = "ok"
        return json_response({"status": "success"})

    # --- GET /oauth/serverinfo

    def serverinfo(self, request: Request, row: dict) -> Response:
        listed = [datacenter for datacenter in DATACENTERS if datacenter != "cn"]
        locations = {datacenter: origin_of(datacenter, self.port) for datacenter in listed}
        return json_response({"result": "success", "locations": locations})


def verifier_matches(challenge, verifier) -> bool:
    """RFC 7636 4.6; a verifier without a challenge is refused (RFC 9700 2.1.1)."""
    if challenge is None or verifier is None:
        return challenge is verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return bool(VERIFIER.fullmatch(verifier)) and computed == challenge


def whole(number: float):
    return int(number) if number == int(number) else number
