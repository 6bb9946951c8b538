"""The cheap calls that prove a token: CRM, Calendar, user profile.

Decides the bodies of good and bad answers. A token's state is the ledger's to tell.
"""

import hashlib
from dataclasses import dataclass
from typing import Callable

from ledger import Ledger, Token
from wire import Request, Response, json_response

WORDS = ("zoho-oauthtoken", "bearer")


def crm_refusal(code: str, message: str, http_status: int, **more) -> Response:
    return json_response({"code": code, "details": {}, "message": message} | more, http_status)


def calendar_refusal(code: str, message: str, status: int) -> Response:
    fault = {"description": message, "error_code": code, "message": message}
    return json_response({"error": [fault]}, status)


CRM_REFUSALS = {
    "missing": crm_refusal("AUTHENTICATION_FAILURE", "Authentication failed", 401),
    "dead": crm_refusal("INVALID_TOKEN", "invalid oauth token", 401, status="error"),
    "scope": crm_refusal(
        "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL", 401, status="error"
    ),
}
CALENDAR_REFUSALS = {
    "missing": calendar_refusal("INVALID_TICKET", "Invalid ticket", 400),
    "dead": calendar_refusal("INVALID_OAUTHTOKEN", "Invalid OAuth token", 401),
    "scope": calendar_refusal("INVALID_OAUTHSCOPE", "Invalid OAuth scope", 401),
}


@dataclass(frozen=True)
class Probe:
    scope: str
    refusals: dict
    body: Callable


def zuid(user: str, datacenter: str) -> int:
    """The same account always has the same number; another data centre is another account."""
    digest = hashlib.sha256(f"{datacenter}/{user}".encode()).hexdigest()
    return 60_000_000 + int(digest[:12], 16) % 10**9


def organisation(token: Token) -> dict:
    domain = token.grant.user.rpartition("@")[2] or "example"
    number = zuid(domain, token.grant.datacenter)
    return {"id": str(number * 1000), "zgid": str(number), "company_name": domain}


def crm_users(token: Token) -> dict:
    user, number = token.grant.user, zuid(token.grant.user, token.grant.datacenter)
    person = {"id": str(number * 1000), "zuid": str(number), "email": user, "status": "active"}
    page = {"per_page": 200, "count": 1, "page": 1, "more_records": False}
    return {"users": [person | {"full_name": user.partition("@")[0]}], "info": page}


def crm_org(token: Token) -> dict:
    return {"org": [organisation(token)]}


def calendars(token: Token) -> dict:
    number = zuid(token.grant.user, token.grant.datacenter)
    uid = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    name = token.grant.user.partition("@")[0]
    return {"calendars": [{"uid": uid, "name": name, "category": "own", "isdefault": True}]}


def user_info(token: Token) -> dict:
    user, name = token.grant.user, token.grant.user.partition("@")[0]
    names = {"First_Name": name, "Last_Name": "", "Display_Name": name}
    return names | {"Email": user, "ZUID": zuid(user, token.grant.datacenter)}


PROBES = {
    "/crm/v8/users": Probe("ZohoCRM.users.READ", CRM_REFUSALS, crm_users),
    "/crm/v8/org": Probe("ZohoCRM.org.READ", CRM_REFUSALS, crm_org),
    "/oauth/user/info": Probe("AaaServer.profile.READ", CRM_REFUSALS, user_info),
    "/api/v1/calendars": Probe("ZohoCalendar.calendar.READ", CALENDAR_REFUSALS, calendars),
    "/api/v1/calendars/primary": Probe("ZohoCalendar.calendar.READ", CALENDAR_REFUSALS, calendars),
    "/api/v1/calendars/default": Probe("ZohoCalendar.calendar.READ", CALENDAR_REFUSALS, calendars),
}


def presented(request: Request):
    """The token of the Authorization header, or None when no usable one is there."""
    word, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() or None if word.lower() in WORDS else None


def covers(scopes: tuple, wanted: str) -> bool:
    return wanted in scopes or wanted.rpartition(".")[0] + ".ALL" in scopes


def answer(ledger: Ledger, request: Request, row: dict) -> Response:
    probe = PROBES.get(request.path)
    if probe is None or request.method != "GET":
        row["outcome"] = "unknown_url"
        message = "Please check if the URL trying to access is a correct one"
        return crm_refusal("INVALID_URL_PATTERN", message, 404, status="error")
    value = presented(request)
    token = ledger.find(value, "access", request.datacenter) if value else None
    if value is None:
        row["outcome"] = "missing"
    elif token is None or ledger.state(token) != "live":
        row["outcome"] = "dead"
    elif not covers(token.grant.scopes, probe.scope):
        row["outcome"] = "scope"
    else:
        row["outcome"] = "ok"
        return json_response(probe.body(token))
    return probe.refusals[row["outcome"]]
