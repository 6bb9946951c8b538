#!/usr/bin/python3
"""The Zoho provider simulator: one port, one loopback address per data centre.

    zoho_sim.py serve --port P [--dir D] [--ready-file F]
    zoho_sim.py providers --port P --builtin DIR --out DIR

Decides where a request goes, and puts arrival, latency, fault and record around what the provider
does. A test program: never installed, and it keeps every token in the clear on purpose.
"""

import argparse
import asyncio
import os
import resource
import signal
import socket
import sys
from functools import partial
from pathlib import Path

sys.dont_write_bytecode = True  # before the modules beside it: leave nothing in the source tree
import pages
import probes
from control import Control
from faults import Faults, Watch
from ledger import Ledger
from providers import BadDefinition, write_copies
from wire import BadRequest, Connection, Request, Response, form_pairs, html_response
from zoho import DATACENTERS, Accounts, address_of, origin_of

GRANTS = {"authorization_code": "code", "refresh_token": "refresh"}
OPEN_FILES = 8192


class Simulator:
    def __init__(self, port: int, journal=None):
        self.ledger = Ledger(journal)
        self.watch = Watch()
        self.faults = Faults(self.watch)
        self.control = Control(self.ledger, self.faults, self.watch, self.perform, port)
        accounts = Accounts(self.ledger, port)
        self.routes = {
            "/oauth/v2/auth": ("auth", accounts.authorize),
            "/oauth/v2/token": ("token", accounts.token),
            "/oauth/v2/token/revoke": ("revoke", accounts.revoke),
            "/oauth/v2/revoke/token": ("revoke", accounts.revoke_by_client),
            "/oauth/user/info": ("identity", self._probe),
            "/oauth/serverinfo": (None, accounts.serverinfo),
        }

    async def __call__(self, request: Request, connection: Connection):
        if request.path.startswith("/__sim/"):
            await connection.reply(request, await self.control.handle(request))
            return
        at, handler = self._route(request.path)
        if at is None:
            await connection.reply(request, guarded(handler, request, {}))
            return
        row = self._begin(at, request)
        rule = self.faults.take(at, request.datacenter, row["grant"], row["client_id"])
        try:
            latency_ms = self.ledger.settings_of(row["client_id"]).latency_ms
            if latency_ms:
                await asyncio.sleep(latency_ms / 1000)
            act = partial(guarded, handler, request, row)
            sent = await self.faults.answer(rule, act, request, connection, row)
            row["answered"] = sent > 0
        finally:
            self.ledger.finish(row)

    def perform(self, request: Request) -> Response:
        """A request without a wire, for the scripted browser: recorded, but no fault meets it."""
        at, handler = self._route(request.path)
        row = self._begin(at, request)
        response = guarded(handler, request, row)
        row.update(status=response.status, answered=True)
        self.ledger.finish(row)
        return response

    def _route(self, path: str):
        if path.startswith(("/crm/", "/api/")):
            return "probe", self._probe
        return self.routes.get(path, (None, not_found))

    def _probe(self, request: Request, row: dict) -> Response:
        return probes.answer(self.ledger, request, row)

    def _begin(self, at: str, request: Request) -> dict:
        """Notes who asks with which token, before anything is decided."""
        try:
            fields = form_pairs(request.query) if at == "auth" else request.form()
        except BadRequest:
            fields = {}
        values = {"token": "refresh_token", "revoke": "token"}
        value = probes.presented(request) if at in ("probe", "identity") else fields.get(values.get(at))
        token = self.ledger.tokens.get(value)
        if token is not None:
            token.uses += 1
        refresh = token if token is None or token.kind == "refresh" else token.parent
        grant = GRANTS.get(fields.get("grant_type")) if at == "token" else None
        named = fields.get("client_id") or (request.basic() or (None,))[0]
        row = self.ledger.arrive(
            kind=at,
            grant=grant,
            datacenter=request.datacenter,
            method=request.method,
            path=request.path,
            client_id=named or (token.grant.client_id if token else None),
            token=token.id if token else None,
            refresh_token=refresh.id if refresh else None,
        )
        self.watch.arrive(at, request.datacenter, grant, row["client_id"])
        return row


def guarded(handler, request: Request, row: dict) -> Response:
    """What Zoho will not even read as a request is answered with a page."""
    try:
        return handler(request, row)
    except BadRequest as fault:
        row["outcome"] = "bad_request"
        return html_response(pages.refusal(str(fault)), 400)


def not_found(request: Request, row: dict) -> Response:
    return html_response(pages.refusal("Not found"), 404)


# --- the program


def bind(port: int) -> list:
    """One listening socket per data centre, all on the same port; port 0 picks a free one."""
    for _ in range(50 if port == 0 else 1):
        sockets, chosen = [], port
        try:
            for datacenter in DATACENTERS:
                sockets.append(socket.socket())
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sockets[-1].bind((address_of(datacenter), chosen))
                chosen = sockets[-1].getsockname()[1]
            return sockets
        except OSError as error:
            fault = error
            for sock in sockets:
                sock.close()
    raise fault


def open_journal(directory: "Path | None"):
    if directory is None:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.fdopen(os.open(directory / "ledger.jsonl", flags, 0o600), "a", encoding="utf-8")


async def serve(options) -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    sockets = bind(options.port)
    port = sockets[0].getsockname()[1]
    simulator = Simulator(port, open_journal(options.dir))
    for datacenter, sock in zip(DATACENTERS, sockets):
        make = partial(Connection, simulator, datacenter)
        await loop.create_server(make, sock=sock, backlog=1024)
    if options.ready_file:
        half = options.ready_file.with_name(options.ready_file.name + ".tmp")
        half.write_text(origin_of("us", port) + "\n")
        half.replace(options.ready_file)
    print(f"listening on {origin_of('us', port)}", flush=True)
    await stop.wait()
    return 0


def arguments():
    parser = argparse.ArgumentParser(description="Plays Zoho's OAuth servers on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve until SIGTERM")
    serving.add_argument("--port", type=int, required=True, help="0 picks a free one")
    serving.add_argument("--dir", type=Path, help="append the ledger to DIR/ledger.jsonl")
    serving.add_argument("--ready-file", type=Path, help="written once connections are accepted")
    copying = commands.add_parser("providers", help="write definitions that point here")
    copying.add_argument("--port", type=int, required=True)
    copying.add_argument("--builtin", type=Path, required=True)
    copying.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        if options.command == "serve":
            return asyncio.run(serve(options))
        for datacenter in write_copies(options.builtin, options.out, options.port):
            print(f"left out, not played here: {datacenter}", file=sys.stderr)
        return 0
    except (OSError, BadDefinition) as fault:
        print(f"zoho_sim: {fault}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
