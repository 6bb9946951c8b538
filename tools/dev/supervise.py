#!/usr/bin/python3
"""Keeps a fixed number of workers alive, whatever is killed.

    supervise.py --run DIR --log FILE [--minutely COMMAND] [--patience SECONDS] NAME=COUNT=SOCKET... -- PROGRAM [ARGUMENT]...

Each NAME is a pool: COUNT processes `PROGRAM ARGUMENT... --pool NAME --workers COUNT` share the listening SOCKET as descriptor 0.
Three processes run this file. One holds DIR/leader.lock and runs the workers; two wait for that lock with the same
open sockets. The kernel frees the lock of a killed leader at once, so one of them goes on with every connection
still in the backlog, and starts another to wait. SIGTERM to the leader ends them all; so does DIR/stopping.

It decides nothing about requests, and it must stay unable to fail: no configuration file, nothing but Python's own.
"""

import argparse
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time

PLACES = ("place.0", "place.1", "place.2")  # the leader's own and two more
LONGEST_PAUSE_S = 2.0
STEADY_S = 1.0  # a worker that lived this long did not fail at its start
PR_SET_PDEATHSIG = 1
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}

libc = ctypes.CDLL(None)


def lock(path: str, wait: bool = False) -> int | None:
    """A descriptor holding the lock of that file, until this process ends, or None."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return fd
    except BlockingIOError:
        os.close(fd)
        return None


def write_pid(path: str) -> None:
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.replace(path + ".new", path)


def say(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), f"supervise[{os.getpid()}]", text, file=sys.stderr, flush=True)


def open_socket(path: str) -> int:
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    listener.bind(path)
    os.umask(mask)
    listener.listen(1024)
    return listener.detach()


class Worker:
    """One place in a pool, and the process that fills it."""

    def __init__(self, command: list[str], socket_fd: int, log_fd: int):
        self.command, self.socket_fd, self.log_fd = command, socket_fd, log_fd
        self.process: subprocess.Popen | None = None
        self.started = self.due = self.pause_s = 0.0

    def keep(self, now: float) -> None:
        """Starts it when it is gone and due, later each time that it dies young."""
        if self.process and self.process.poll() is not None:
            say(f"{' '.join(self.command[-4:])} pid {self.process.pid} ended: {self.process.returncode}")
            self.process = None
            young = now - self.started < STEADY_S
            self.pause_s = min(LONGEST_PAUSE_S, self.pause_s * 2 + 0.05) if young else 0.0
            self.due = now + self.pause_s
        if not self.process and now >= self.due:
            self.started, self.due = now, now + LONGEST_PAUSE_S  # the latter in case that it cannot even be started
            self.process = start(self.command, self.log_fd, self.socket_fd)


def start(command: list[str], log_fd: int, stdin: int = subprocess.DEVNULL) -> subprocess.Popen | None:
    """A child that is told to end when this process dies, lest it serve on beside its successors."""
    leader = os.getpid()

    def before_exec() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if os.getppid() != leader:  # it died before the line above
            os._exit(1)

    try:
        return subprocess.Popen(command, stdin=stdin, stdout=log_fd, stderr=log_fd, preexec_fn=before_exec)
    except OSError as error:
        say(f"cannot start {command[0]}: {error}")
        return None


class Minutely:
    """Runs a command at every full minute as cron would, but never beside itself."""

    def __init__(self, command: str | None, log_fd: int):
        self.command, self.log_fd = command, log_fd
        self.process: subprocess.Popen | None = None
        self.minute = int(time.time() // 60)

    def keep(self) -> None:
        minute = int(time.time() // 60)
        running = self.process and self.process.poll() is None
        if self.command and minute != self.minute and not running:
            self.process = start([self.command], self.log_fd)
        self.minute = minute


class Supervisor:
    def __init__(self, options: argparse.Namespace, program: list[str]):
        self.options, self.program = options, program
        self.log_fd = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.pools = [pool.split("=", 2) for pool in options.pools]
        inherited = [int(fd) for fd in options.sockets.split(",")] if options.sockets else None
        self.sockets = inherited or [open_socket(path) for _, _, path in self.pools]
        self.standbys: dict[str, subprocess.Popen] = {}

    def path(self, name: str) -> str:
        return os.path.join(self.options.run, name)

    def stopping(self) -> bool:
        return os.path.exists(self.path("stopping"))

    def fill_places(self) -> None:
        """Starts a process for every place whose lock nobody holds or is about to take."""
        for place in map(self.path, PLACES):
            standby = self.standbys.get(place)
            if standby and standby.poll() is None:
                continue
            fd = lock(place)
            if fd is not None:
                os.close(fd)
                self.standbys[place] = self.start_standby(place)

    def start_standby(self, place: str) -> subprocess.Popen:
        options = ["--run", self.options.run, "--log", self.options.log, "--place", place,
                   "--patience", str(self.options.patience),
                   "--sockets", ",".join(map(str, self.sockets))]
        if self.options.minutely:
            options += ["--minutely", self.options.minutely]
        return subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *options, *self.options.pools, "--", *self.program],
            pass_fds=self.sockets, start_new_session=True, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, ()))

    def lead(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        write_pid(self.path("supervisor.pid"))
        say("leading")
        workers = [Worker([*self.program, "--pool", name, "--workers", count], fd, self.log_fd)
                   for (name, count, _), fd in zip(self.pools, self.sockets) for _ in range(int(count))]
        minutely = Minutely(self.options.minutely, self.log_fd)
        while not self.stopping():
            now = time.monotonic()
            for worker in workers:
                worker.keep(now)
            minutely.keep()
            self.fill_places()
            # A standby's loss is noticed by its lock, hence the short wait; a worker's wakes us at once.
            caught = signal.sigtimedwait(WATCHED, max(0.01, min([0.5] + [w.due - now for w in workers if not w.process])))
            if caught and caught.si_signo != signal.SIGCHLD:
                break
        open(self.path("stopping"), "w", encoding="ascii").close()
        self.end([child.process for child in [*workers, minutely] if child.process])

    def end(self, processes: list[subprocess.Popen]) -> None:
        say("stopping")
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + self.options.patience
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                say(f"pid {process.pid} does not end: killed")
                process.kill()


def parse() -> tuple[argparse.Namespace, list[str]]:
    own, program = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, program = own[:at], own[at + 1:]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--minutely")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for the last request")
    parser.add_argument("--place", help=argparse.SUPPRESS)
    parser.add_argument("--sockets", help=argparse.SUPPRESS)
    parser.add_argument("pools", nargs="+")
    options = parser.parse_args(own)
    if not program:
        parser.error("no program")
    return options, program


def main() -> int:
    options, program = parse()
    leader_lock = os.path.join(options.run, "leader.lock")
    stopping = os.path.join(options.run, "stopping")
    if options.place:
        if lock(options.place) is None:
            return 1
        supervisor = Supervisor(options, program)
        lock(leader_lock, wait=True)
    else:
        # Before the sockets are touched: they may be somebody's.
        if lock(leader_lock) is None or lock(os.path.join(options.run, PLACES[0])) is None:
            print("supervise: already running", file=sys.stderr)
            return 1
        if os.path.exists(stopping):
            os.unlink(stopping)
        supervisor = Supervisor(options, program)
    if not supervisor.stopping():
        supervisor.lead()
    return 0


if __name__ == "__main__":
    sys.exit(main())
