"""Listing: the health of very many connections, beside PostgreSQL making one JSON of the same rows for psql."""

import os
import socket
import subprocess
import time
from contextlib import closing

from stand import children, private_kib, read_pid, say, spread, stop

from harness import postgres_program

GROW = """
insert into vestal.client (id, name)
	select to_char(n, '"listed-"FM0000000'), 'listed' from generate_series(1, %(count)s) n;
insert into vestal.connection (client_id, provider, last_generation, state, cause, datacenter, last_refreshed_at,
		last_proved_at, next_refresh_at, overdue_at, last_error_code, last_error_at, copy_generation, environment_generation)
	select to_char(n, '"listed-"FM0000000'), 'zoho_crm', 7, 'live', 'none', 'us', now(), now(), now() + interval '50 minutes',
		case when n %% 10 = 0 then now() else now() + interval '1 hour' end, case when n %% 10 = 0 then 'http_503' end,
		case when n %% 10 = 0 then now() end, 7, 7
	from generate_series(1, %(count)s) n;
insert into vestal.token (connection_id, generation, access_sealed, access_fingerprint, token_type, issued_at, granted_at, expires_at)
	select id, 7, '', '', 'Bearer', now(), now(), now() + interval '1 hour' from vestal.connection where client_id like 'listed-%%';
"""
WHOLE = "/divine/oauth/health"
PSQL = "select json_agg(r) from vestal.connection_report r"


def grow(stack, count):
    with closing(stack.connect_database()) as database, database.cursor() as cursor:
        cursor.execute(GROW, {"count": count})
        cursor.execute("vacuum analyze vestal.connection, vestal.token, vestal.client")
        cursor.execute("select count(*) from vestal.connection_report")
        return cursor.fetchone()[0]


BODY = memoryview(bytearray(1 << 30))  # pages that are never written are never there


def fetch(stack, path):
    """(milliseconds to the first byte of the body, to the last, the body). By hand: a client in Python that takes chunks
    apart would use more of the machine than what it measures."""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost:{stack.url.port}\r\nAuthorization: Bearer {stack.key}\r\n\r\n"
    size, body, first_ms = 0, 0, None
    with closing(socket.create_connection(("127.0.0.1", stack.url.port), timeout=60)) as connection:
        began = time.perf_counter()
        connection.sendall(request.encode())
        while n := connection.recv_into(BODY[size:]):
            size += n
            if first_ms is None:
                body = bytes(BODY[:size]).find(b"\r\n\r\n") + 4
                if 4 <= body < size:
                    first_ms = (time.perf_counter() - began) * 1000
        whole_ms = (time.perf_counter() - began) * 1000
    if bytes(BODY[:size][9:12]) != b"200":
        stop(f"{path}: {bytes(BODY[:size][:40])}")
    return first_ms, whole_ms, bytes(BODY[body:size])


def psql(stack):
    began = time.perf_counter()
    done = subprocess.run([postgres_program("psql"), "-qAtX", "-c", PSQL], env=os.environ | stack.env, stdout=subprocess.PIPE, check=True)
    return (time.perf_counter() - began) * 1000, len(done.stdout)


def measure(stack, total):
    first_ms, whole_ms, body = fetch(stack, WHOLE)
    if body.count(b'"clientId"') != total or f'"total":{total},'.encode() not in body[-400:]:
        stop(f"the list of {total:,} connections is not whole")
    return first_ms, whole_ms, len(body)


def run(stack, options):
    say(f"listing: {options.listed:,} connections")
    total = grow(stack, options.listed)
    measure(stack, total), psql(stack)  # warms up both
    rows = []
    for number in range(options.rounds):
        first_ms, whole_ms, size = measure(stack, total)
        psql_ms, psql_size = psql(stack)
        page_ms = fetch(stack, f"{WHOLE}?limit=100&after=listed-{options.listed // 2:07}/zoho_crm")[1]
        rows.append({"first_ms": first_ms, "whole_ms": whole_ms, "psql_ms": psql_ms, "page_ms": page_ms, "bytes": size, "psql_bytes": psql_size})
        say(f"listing: round {number + 1} of {options.rounds}")
    workers = children(read_pid(stack.data / "run/supervisor.pid"), b"--pool\0fast\0")
    try:
        memory = spread([private_kib(pid) / 1024 for pid in workers])
    except PermissionError:
        memory = None
    seen = {name: spread([row[name] for row in rows]) for name in rows[0]}
    promised = {"listing / json_agg": spread([row["whole_ms"] / row["psql_ms"] for row in rows]), "listing, first byte": seen["first_ms"]}
    if memory:
        promised["listing, memory"] = memory
    return {"connections": total, "rounds": options.rounds, "seen": seen, "memory_mib": memory, "promised": promised}


def print_table(report):
    print(f"\nhealth of all {report['connections']:,} connections, {report['rounds']} rounds; milliseconds")
    for name, text in (("first_ms", "first byte"), ("whole_ms", "whole list"), ("psql_ms", "json_agg in psql"), ("page_ms", "page of 100, counted")):
        value = report["seen"][name]
        print(f"{text:34}{value['median']:10.1f}{value['min']:9.1f}{value['max']:9.1f}")
