"""What goes wrong between the provider's deed and its answer, and who waits for it to happen.

Decides which rule meets a request and how the answer is spoiled. The deed itself comes in as a
function, so that "acted, answer lost" and "never acted" are told apart exactly.
"""

import asyncio
import json
import math
from collections import Counter
from dataclasses import dataclass, field

import pages
from probes import calendar_refusal, crm_refusal
from wire import BadRequest, Connection, Request, Response, html_response, json_response
from zoho import DATACENTERS

PLACES = ("token", "probe", "identity", "revoke", "auth")
CHUNK_BYTES = 64 * 1024

# mode -> its own keys with their defaults; ... marks a key that must be given
MODES = {
    "status": {"status": ..., "headers": {}, "body": ""},
    "html": {"status": 200},
    "empty": {"status": 400},
    "drop_before": {},
    "drop_after": {},
    "hang": {"act": False},
    "slow": {"interval_ms": 100},
    "huge": {"megabytes": 0},
    "broken_json": {},
    "redirect": {"location": ..., "status": 302},
    "zoho_error": {"error": ..., "status": 200, "description": ""},
    "success_without": {"fields": ...},
    "override": {"fields": ...},
    "delay": {"delay_ms": ...},
}
TYPES = {
    "status": int, "headers": dict, "body": (str, dict, list), "act": bool, "megabytes": int,
    "interval_ms": (int, float), "delay_ms": (int, float), "location": str, "error": str,
    "description": str,
}  # fmt: skip


@dataclass
class Rule:
    id: int
    at: str
    mode: str
    times: int = 1
    datacenter: "str | None" = None
    grant: "str | None" = None
    client_id: "str | None" = None
    options: dict = field(default_factory=dict)
    hits: int = 0

    def meets(self, *place) -> bool:
        return not (self.times and self.hits >= self.times) and covers(self.place, place)

    @property
    def place(self) -> tuple:
        return self.at, self.datacenter, self.grant, self.client_id

    def row(self) -> dict:
        names = ("id", "at", "mode", "times", "datacenter", "grant", "client_id", "hits")
        return {name: getattr(self, name) for name in names} | self.options


def covers(wanted: tuple, place: tuple) -> bool:
    """Whether a place (at, data centre, grant, client) is meant; None means any."""
    return all(want in (None, is_) for want, is_ in zip(wanted, place))


def parse_rule(number: int, body: dict) -> Rule:
    """Checks one rule of POST /__sim/faults: a misspelt key is no fault that never comes."""
    body = dict(body)
    for mode in ("success_without", "override"):
        if mode in body:
            body |= {"mode": body.get("mode", mode), "fields": body.pop(mode)}
    mode = body.pop("mode", None)
    if mode not in MODES:
        raise BadRequest(f"mode must be one of {', '.join(MODES)}")
    common = {name: body.pop(name, None) for name in ("at", "datacenter", "grant", "client_id")}
    times = body.pop("times", 1)
    if common["at"] not in PLACES or common["grant"] not in (None, "code", "refresh"):
        raise BadRequest(f"at must be one of {', '.join(PLACES)}; grant code or refresh")
    if not isinstance(common["client_id"], (str, type(None))):
        raise BadRequest("client_id must be a string")
    if common["datacenter"] not in (None, *DATACENTERS):
        raise BadRequest("unknown datacenter")
    if type(times) is not int or times < 0:
        raise BadRequest("times must be a number, 0 for until cleared")
    return Rule(number, mode=mode, times=times, options=parse_options(mode, body), **common)


def parse_options(mode: str, body: dict) -> dict:
    known = MODES[mode]
    missing = [name for name, default in known.items() if default is ... and name not in body]
    strange = [name for name in body if name not in known]
    if missing or strange:
        raise BadRequest(f"mode {mode}: missing {missing}, unknown {strange}")
    for name, value in body.items():
        wanted = {"success_without": list, "override": dict}.get(mode, TYPES.get(name))
        if not isinstance(value, wanted):
            raise BadRequest(f"mode {mode}: {name} has the wrong type")
    if not 200 <= body.get("status", 200) <= 599:
        raise BadRequest("status: 200 to 599")
    return {name: body.get(name, default) for name, default in known.items()}


class Watch:
    """Counts arrivals since the last reset, and wakes whoever waits for a number of them."""

    def __init__(self):
        self.arrivals = Counter()
        self.hanging = Counter()
        self.waiters = []

    def clear(self):
        self.arrivals.clear()
        self._wake()

    def arrive(self, *place):
        self.arrivals[place] += 1
        self._wake()

    def hang(self, change: int, *place):
        self.hanging[place] += change
        self._wake()

    def count(self, at: str, datacenter=None, grant=None, client_id=None) -> int:
        """Arrivals at a place; at "hang", the requests that hang right now."""
        counter = self.hanging if at == "hang" else self.arrivals
        wanted = (None if at == "hang" else at, datacenter, grant, client_id)
        return sum(number for place, number in counter.items() if covers(wanted, place))

    def _wake(self):
        for future, reached in self.waiters:
            if not future.done() and reached():
                future.set_result(True)

    async def wait(self, count: int, timeout_s: float, *place) -> bool:
        def reached():
            return self.count(*place) >= count

        if reached():
            return True
        waiter = (asyncio.get_running_loop().create_future(), reached)
        self.waiters.append(waiter)
        try:
            return await asyncio.wait_for(waiter[0], timeout_s)
        except asyncio.TimeoutError:
            return False
        finally:
            self.waiters.remove(waiter)


class Faults:
    def __init__(self, watch: Watch):
        self.watch = watch
        self.rules = []
        self.numbered = 0
        self.release = asyncio.get_running_loop().create_future()

    def add(self, bodies: list) -> list:
        rules = [parse_rule(self.numbered + n, body) for n, body in enumerate(bodies, 1)]
        self.numbered += len(rules)
        self.rules += rules
        return [rule.row() for rule in rules]

    def clear(self, drop: bool = False):
        """Forgets all rules. What hangs goes on as if nothing had been, or is dropped."""
        self.rules.clear()
        self.release.set_result("drop" if drop else "go")
        self.release = asyncio.get_running_loop().create_future()

    def take(self, *place):
        """The first rule that meets the request, now one hit older; else None."""
        for rule in self.rules:
            if rule.meets(*place):
                rule.hits += 1
                return rule
        return None

    async def answer(self, rule, act, request: Request, connection: Connection, row: dict):
        """Acts and answers, spoiled by the rule if there is one. Returns bytes sent."""
        if rule is None:
            return await self._reply(act(), request, connection, row)
        row["fault"] = rule.mode
        play = getattr(self, f"_{rule.mode}")
        return await play(rule.options, act, request, connection, row)

    async def _reply(self, response: Response, request, connection, row) -> int:
        row["status"] = response.status
        if row["outcome"] == "pending":
            row["outcome"] = "not_acted"
        return await connection.reply(request, response)

    # --- the provider does not act

    async def _status(self, options, act, request, connection, row):
        body, kind = options["body"], "text/plain;charset=UTF-8"
        if not isinstance(body, str):
            body, kind = json.dumps(body), "application/json;charset=UTF-8"
        response = Response(options["status"], body.encode(), kind)
        response.headers |= options["headers"]
        return await self._reply(response, request, connection, row)

    async def _html(self, options, act, request, connection, row):
        response = html_response(pages.maintenance(), options["status"])
        return await self._reply(response, request, connection, row)

    async def _empty(self, options, act, request, connection, row):
        return await self._reply(Response(options["status"]), request, connection, row)

    async def _redirect(self, options, act, request, connection, row):
        response = Response(options["status"], Location=options["location"])
        return await self._reply(response, request, connection, row)

    async def _zoho_error(self, options, act, request, connection, row):
        response = worded_error(options, request.path)
        return await self._reply(response, request, connection, row)

    async def _drop_before(self, options, act, request, connection, row):
        row["outcome"] = "not_acted"
        connection.drop()
        return 0

    async def _huge(self, options, act, request, connection, row):
        """A JSON string that grows; valid in the end, when there is one, and without a token."""
        head, tail = b'{"filler":"', b'"}'
        total = options["megabytes"] * 1024 * 1024 or math.inf
        response = Response(200, content_type="application/json;charset=UTF-8")
        row.update(outcome="not_acted", status=200)
        length = None if total == math.inf else total
        sent = await connection.send(response.head(False, length) + head)
        left, chunk = total - len(head) - len(tail), b"a" * CHUNK_BYTES
        while left:
            step = await connection.send(chunk if left >= CHUNK_BYTES else chunk[: int(left)])
            if not step:
                break
            sent, left = sent + step, left - step
            await asyncio.sleep(0)
        sent += await connection.send(tail)
        connection.close()
        return sent

    # --- the provider acts, the answer suffers

    async def _drop_after(self, options, act, request, connection, row):
        act()
        connection.drop()
        return 0

    async def _delay(self, options, act, request, connection, row):
        await asyncio.sleep(options["delay_ms"] / 1000)
        return await self._reply(act(), request, connection, row)

    async def _slow(self, options, act, request, connection, row):
        response = act()
        row["status"], sent = response.status, 0
        for byte in response.render(False):
            await asyncio.sleep(options["interval_ms"] / 1000)
            step = await connection.send(bytes([byte]))
            if not step:
                break
            sent += step
        connection.close()
        return sent

    async def _broken_json(self, options, act, request, connection, row):
        response = act()
        cut = Response(response.status, response.body[: len(response.body) * 2 // 3])
        cut.headers = response.headers
        return await self._reply(cut, request, connection, row)

    async def _success_without(self, options, act, request, connection, row):
        def spoil(answer):
            return {name: value for name, value in answer.items() if name not in options["fields"]}

        return await self._reply(edited(act(), spoil), request, connection, row)

    async def _override(self, options, act, request, connection, row):
        response = edited(act(), lambda answer: answer | options["fields"])
        return await self._reply(response, request, connection, row)

    # --- the provider thinks

    async def _hang(self, options, act, request, connection, row):
        """Until cleared. A caller that hangs up while nothing has been done leaves nothing done."""
        place, release = place_of(row), self.release
        response = act() if options["act"] else None
        gone = asyncio.ensure_future(connection.gone.wait())
        self.watch.hang(1, *place)
        try:
            await asyncio.wait((gone, release), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self.watch.hang(-1, *place)
        if connection.gone.is_set() or release.result() == "drop":
            row["outcome"] = row["outcome"] if response else "not_acted"
            connection.drop()
            return 0
        return await self._reply(response or act(), request, connection, row)


def place_of(row: dict) -> tuple:
    return row["kind"], row["datacenter"], row["grant"], row["client_id"]


def edited(response: Response, change) -> Response:
    """A success with its fields changed; refusals stay what they are."""
    try:
        answer = json.loads(response.body)
    except ValueError:
        return response
    if response.status != 200 or not isinstance(answer, dict) or "error" in answer:
        return response
    return json_response(change(answer))


def worded_error(options: dict, path: str) -> Response:
    """The error in the envelope of the family that the path belongs to."""
    error, text, status = options["error"], options["description"], options["status"]
    if path.startswith("/api/"):
        return calendar_refusal(error, text or error, status)
    if path.startswith("/crm/") or path == "/oauth/user/info":
        return crm_refusal(error, text or error, status, status="error")
    more = {"error_description": text, "status": "failure"} if text else {}
    return json_response({"error": error} | more, status)
