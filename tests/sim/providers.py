"""Operator copies of the built-in provider definitions, pointed at a simulator.

Decides that nothing in a copy can reach a real provider: only the table of data centres is
changed, and a definition that names a host elsewhere is refused.
"""

import json
import os
from pathlib import Path

from zoho import DATACENTERS, origin_of

NAMES = ("zoho_crm", "zoho_calendar")
PROSE = ("docs", "title", "datacenters")


class BadDefinition(Exception):
    """A built-in definition that cannot be pointed at the simulator."""


def urls_elsewhere(value, path=""):
    """Paths of all absolute URLs outside prose and table."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if path or name not in PROSE:
                yield from urls_elsewhere(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from urls_elsewhere(inner, f"{path}/{number}")
    elif isinstance(value, str) and "://" in value:
        yield path


def pointed_here(definition: dict, port: int) -> dict:
    table = definition.get("datacenters")
    if not isinstance(table, dict) or not table:
        raise BadDefinition("no table of data centres")
    elsewhere = list(urls_elsewhere(definition))
    if elsewhere:
        raise BadDefinition(f"names a host outside its table: {', '.join(elsewhere)}")
    played = [datacenter for datacenter in table if datacenter in DATACENTERS]
    if definition.get("default_datacenter", played[0] if played else None) not in played:
        raise BadDefinition("the default data centre is not played by the simulator")
    here = {dc: {role: origin_of(dc, port) for role in table[dc]} for dc in played}
    return definition | {"datacenters": here, "allow_loopback_http": True}


def write_copies(builtin: Path, out: Path, port: int) -> list:
    """Writes both copies whole or not at all. Returns the data centres left out."""
    copies, left_out = {}, set()
    for name in NAMES:
        source = builtin / f"{name}.json"
        try:
            definition = json.loads(source.read_text("utf-8"))
            copies[name] = pointed_here(definition, port)
        except (OSError, ValueError, BadDefinition) as fault:
            raise BadDefinition(f"{source}: {fault}") from fault
        left_out |= set(definition["datacenters"]) - set(DATACENTERS)
    out.mkdir(parents=True, exist_ok=True)
    for name, copy in copies.items():
        half = out / f".{name}.json.tmp"
        half.write_text(json.dumps(copy, indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(half, out / f"{name}.json")
    return sorted(left_out)
