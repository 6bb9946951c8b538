"""The Node programs of peer/: installed into the stack's folder, and run as the stack's account."""

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager

from stand import HERE, TREE, account, environment, own_folder

NAMES = ("express", "fastify")
CONNECTIONS = 8  # to the database, of each peer; more were not faster


def node():
    return os.environ.get("NODE", "node")


def install(stack):
    """As package-lock.json says. Where the programs are."""
    folder = own_folder(stack) / "peer"
    if not folder.exists():
        shutil.copytree(HERE / "peer", folder, ignore=shutil.ignore_patterns("node_modules"))
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        shutil.copytree(TREE / "sql/queries", folder / "sql")
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder


def settings(stack, folder, provider_file, connections, program):
    return environment(
        stack, PGHOST=stack.env["PGHOST"], PGPORT=stack.env["PGPORT"], PGDATABASE=stack.env["PGDATABASE"],
        PG_CONNECTIONS=connections, SQL_DIR=folder / "sql", KEY_DIR=stack.data / "keys", PROVIDER_FILE=provider_file,
        PROGRAM=program, NODE_ENV="production", UV_THREADPOOL_SIZE=16)  # fmt: skip


def start(stack, name, socket, count):
    """One process of the token route, ready to answer."""
    folder = install(stack)
    provider_file = stack.data / "providers.d/zoho_crm.json"
    socket.unlink(missing_ok=True)
    with open(own_folder(stack) / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [node(), folder / f"token_{name}.js"], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            env=settings(stack, folder, provider_file, max(1, CONNECTIONS // count), name) | {"SOCKET": str(socket)},
            **account(stack))  # fmt: skip
    assert process.stdout.readline() == b"listening\n", f"{name} did not start: {log.name}"
    return process


@contextmanager
def token_pools(stack, count):
    """name -> (processes, their sockets)"""
    with ExitStack() as running:
        pools = {}
        for name in NAMES:
            sockets = [own_folder(stack) / f"{name}.{number}.sock" for number in range(count)]
            pools[name] = ([], sockets)
            for socket in sockets:
                process = start(stack, name, socket, count)
                running.callback(process.wait)
                running.callback(process.terminate)
                pools[name][0].append(process)
        yield pools
