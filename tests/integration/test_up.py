"""tools/up, tools/down and the demonstration: for root and for others, anywhere, beside anything, more than once."""

import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from urllib.request import urlopen

import pytest
from harness import TREE, Stack, eventually, free_port

IGNORED = {TREE / name for name in ("build", "run", ".git", "autom4te.cache")}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")


def git(*words):
    done = subprocess.run(["git", "-C", str(TREE), *words], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def fresh_clone(target):
    """What somebody else gets: a clone when everything is committed, else a copy of what would be in it."""
    if git("rev-parse", "HEAD") and git("status", "--porcelain") == "":
        subprocess.run(["git", "clone", "-q", str(TREE), str(target)], check=True)
        return
    names = git("ls-files", "-co", "--exclude-standard", "-z")
    if names is None:
        ignore = lambda folder, names: {name for name in names if Path(folder, name) in IGNORED}  # noqa: E731
        shutil.copytree(TREE, target, ignore=ignore, symlinks=True)
        return
    for name in filter(None, names.split("\0")):
        if (TREE / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TREE / name, target / name)


def copy_built(clone, target, owner=None):
    """A clone that is built already, at another place: times are kept, so there is nothing left to make."""
    subprocess.run(["cp", "-a", str(clone), str(target)], check=True)
    if owner:
        subprocess.run(["chown", "-R", f"{owner}:", str(target)], check=True)


class Tools:
    """tools/up and tools/down of one clone, for one folder, as one user."""

    def __init__(self, clone, folder=None, user=None):
        self.clone, self.user, self.port = clone, user, free_port()
        self.folder = folder or clone / "run"

    def run(self, name, *options):
        command = [str(self.clone / "tools" / name), "--dir", str(self.folder), *options]
        if self.user:
            home = pwd.getpwnam(self.user).pw_dir
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "env", "-i",
                       f"HOME={home}", f"USER={self.user}", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", *command]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd="/", stdin=subprocess.DEVNULL)

    def up(self, *options):
        return self.run("up", "--port", str(self.port), *options)

    def start(self, *options):
        done = self.up(*options)
        assert done.returncode == 0, done.stdout + done.stderr
        return Stack(self.folder)

    def remove(self):
        done = self.run("down", "--remove")
        assert done.returncode == 0, done.stdout + done.stderr


def processes_of(data):
    """Whatever still runs of a stack: by its mark, by its open files, by its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit():
                continue
            words = (entry / "environ").read_bytes().split(b"\0") + (entry / "cmdline").read_bytes().split(b"\0")
            links = [os.readlink(link).encode() for link in os.scandir(entry / "fd")]
        except OSError:
            continue
        if f"STACK_OF={data}".encode() in words or any(f"{data}/".encode() in word for word in words + links):
            found.append((entry.name, (entry / "comm").read_text()))
    return found


def check_removed(stack):
    assert processes_of(stack.data) == []
    for folder in (stack.data, Path(stack.env["VESTAL_RUNTIME_DIR"]), stack.folder):
        assert not folder.exists(), folder


def answers(stack):
    return stack.api("GET", "/divine/oauth/health").status == 200


def pids(stack):
    return {"nginx": stack.pid("nginx"), "supervisor": stack.pid("supervisor"), "workers": sorted(stack.workers()),
            "postgres": int((stack.data / "pg/postmaster.pid").read_text().split()[0])}  # fmt: skip


@pytest.fixture(scope="module")
def bystanders():
    """A machine's own nginx and PostgreSQL: they answer all the while, with the processes that they had."""
    with tempfile.TemporaryDirectory(prefix="bystander-") as name:
        folder, port = Path(name), free_port()
        # Debian's own places are made by an nginx that root starts; on a fresh machine none ever was.
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}\n"
            f"http {{ access_log off; {temporary}"
            f'server {{ listen 127.0.0.1:{port}; return 200 "the machine\'s own"; }} }}\n')  # fmt: skip
        nginx = ["/usr/sbin/nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
        postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        owner = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        run = lambda *words: subprocess.run(words, check=True, cwd="/", **quiet, **owner)  # noqa: E731
        run(*nginx)
        run(postgres / "initdb", "-D", folder / "pg", "-U", "own", "--auth=trust", "-N")
        options = f"-k {folder} -p {port} -c listen_addresses="
        run(postgres / "pg_ctl", "-D", folder / "pg", "-w", "-l", folder / "pg.log", "-o", options, "start")

        def state():
            with urlopen(f"http://127.0.0.1:{port}") as reply:
                page = reply.read()
            query = ["psql", "-XAtq", "-h", folder, "-p", str(port), "-U", "own", "postgres"]
            asked = [*query, "-c", "select pg_postmaster_start_time()"]
            started = subprocess.run(asked, check=True, capture_output=True).stdout
            return page, started, (folder / "nginx.pid").read_text(), (folder / "pg/postmaster.pid").read_text()

        before = eventually(state)
        yield
        after = state()
        run(*nginx, "-s", "stop")
        run(postgres / "pg_ctl", "-D", folder / "pg", "-m", "fast", "stop")
        assert after == before


@pytest.fixture(scope="module")
def clone(bystanders):
    """A fresh clone where only its owner gets in, as under /root; the first test builds it."""
    home = tempfile.mkdtemp(prefix="vestal-test-", dir=Path.home() if os.geteuid() == 0 else None)
    fresh_clone(Path(home) / "vestal")
    yield Path(home) / "vestal"
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def demonstrated(clone):
    """The two commands of the README, the first of them: everything, with the demonstration."""
    tools = Tools(clone)
    done = tools.up()
    assert done.returncode == 0, done.stdout + done.stderr
    yield tools, done.stdout, Stack(tools.folder)
    tools.remove()


@pytest.fixture
def public_folder():
    """Where an unprivileged account gets in."""
    with tempfile.TemporaryDirectory(prefix="vestal-up-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def user():
    name = f"vestal-{secrets.token_hex(3)}"
    subprocess.run(["useradd", "-m", "-U", "-s", "/bin/bash", name], check=True)
    yield name
    subprocess.run(["userdel", "-r", name], check=True, stderr=subprocess.DEVNULL)


# --- a fresh clone under /root ----------------------------------------------------------------------


def test_the_demonstration(demonstrated):
    tools, said, stack = demonstrated
    shown = re.sub(r" +", " ", said)
    assert shown.count("acme is: healthy") == 2 and "acme is: missing" in shown
    assert 0 < int(re.search(r"recovered in (\d+) ms", said)[1]) < 60_000
    assert f"http://localhost:{tools.port}" in said and "FAILED" not in said and "failed" not in said
    report = stack.report("acme")
    assert report["status"] == "healthy" and report["generation"] == 2, report
    assert report["stores"] == {"database": 2, "file": 2, "environment": 2}
    with urlopen(stack.env["VESTAL_SIM_URL"] + "/__sim/ledger") as reply:
        assert reply.status == 200
    assert stack.sql("select count(*) > 0, bool_and(resolved_at is not null) from vestal.incident") == [(True, True)]


@needs_root
def test_under_root_data_goes_elsewhere(demonstrated):
    tools, _, stack = demonstrated
    assert stack.data.parent == Path("/var/tmp") and not (tools.folder / "data").exists()
    for name in ("VESTAL_BIN", "VESTAL_CONF", "VESTAL_STATE_DIR", "VESTAL_LOG_DIR", "PGHOST"):
        assert stack.env[name].startswith(f"{stack.data}/")
    assert (tools.folder / "env").stat().st_mode & 0o777 == 0o600
    assert stack.data.stat().st_mode & 0o777 == 0o750
    roots = [pid for pid, comm in processes_of(stack.data) if Path(f"/proc/{pid}").stat().st_uid == 0]
    assert processes_of(stack.data) and roots == []


def test_twice_in_a_row(demonstrated):
    tools, _, stack = demonstrated
    kept = [tools.folder / "env", tools.folder / "stack", stack.data / "vestal.conf", stack.data / "nginx/vestal.conf"]
    before = pids(stack), [(path.stat().st_mtime_ns, path.read_bytes()) for path in kept]
    done = tools.up()
    assert done.returncode == 0 and "already running" in done.stdout and str(tools.port) in done.stdout
    assert (pids(stack), [(path.stat().st_mtime_ns, path.read_bytes()) for path in kept]) == before
    assert answers(stack)


def test_the_refresher_is_the_demonstrations_alone(demonstrated):
    _, _, stack = demonstrated
    minutely = stack.data / "run/minutely"
    assert minutely.exists() == os.access(f"{stack.env['VESTAL_BIN']}/vestal-refresh", os.X_OK)


@needs_root
def test_operators_commands_by_root_leave_no_file_of_root(demonstrated):
    _, _, stack = demonstrated
    stack.ctl("client", "add", "by-root")
    stack.ctl("connect", "by-root", "zoho_crm")
    stack.ctl("key", "add", "token")
    stack.ctl("health")
    stack.new_key("admin", "--all-clients")
    places = [stack.data / "keys", stack.env["VESTAL_STATE_DIR"], stack.env["VESTAL_RUNTIME_DIR"], stack.env["VESTAL_LOG_DIR"]]
    find = subprocess.run(["find", *places, "-printf", "%u %p\\n"], check=True, capture_output=True, text=True)
    found = find.stdout.splitlines()
    assert len(found) > 10 and [line for line in found if line.startswith("root ")] == []
    assert answers(stack)


def test_restart_keeps_data_and_key(demonstrated):
    tools, _, stack = demonstrated
    before = stack.report("acme"), stack.key, stack.data
    assert tools.run("down").returncode == 0
    assert processes_of(stack.data) == []
    with pytest.raises(OSError):
        answers(stack)
    assert tools.run("down").returncode == 0  # again, for nothing
    done = tools.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recovery" not in done.stdout  # it has been shown
    again = Stack(tools.folder)
    assert (again.report("acme"), again.key, again.data) == before


def test_a_stack_that_lost_a_part_is_mended(demonstrated):
    tools, _, stack = demonstrated
    for part in ("nginx", "postgres"):
        before = pids(stack)
        os.kill(before[part], 9)
        eventually(lambda: not Path(f"/proc/{before[part]}/exe").exists())
        done = tools.up()
        assert done.returncode == 0 and "already running" not in done.stdout, done.stdout + done.stderr
        assert answers(stack) and pids(stack)[part] != before[part]


def test_another_port_is_refused(demonstrated):
    tools, _, stack = demonstrated
    assert tools.run("down").returncode == 0
    other = free_port()
    done = tools.run("up", "--port", str(other))
    assert done.returncode != 0 and str(tools.port) in done.stderr and "--remove" in done.stderr
    assert tools.up().returncode == 0 and answers(stack)


# --- other places, other users --------------------------------------------------------------------


@needs_root
def test_an_ordinary_user_in_his_home(demonstrated, user):
    home = Path(pwd.getpwnam(user).pw_dir)
    copy_built(demonstrated[0].clone, home / "vestal", user)
    shutil.rmtree(home / "vestal/run", ignore_errors=True)
    tools = Tools(home / "vestal", user=user)
    stack = tools.start()
    assert stack.data == home / "vestal/run/data" and answers(stack) and stack.report("acme")["status"] == "healthy"
    uid = pwd.getpwnam(user).pw_uid
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid, _ in processes_of(stack.data)}
    assert owners == {uid}
    strangers = subprocess.run(["find", home, "!", "-user", user], check=True, capture_output=True, text=True).stdout
    assert strangers == ""
    tools.remove()
    check_removed(stack)


def test_a_path_with_spaces_and_two_at_once(demonstrated, public_folder):
    clone = public_folder / "a path with 'spaces' & more"
    copy_built(demonstrated[0].clone, clone)
    shutil.rmtree(clone / "run", ignore_errors=True)
    tools = Tools(clone)
    second = Tools(clone, public_folder / "second")
    stack, other = tools.start("--no-demo", "--workers", "1"), second.start("--no-demo", "--workers", "3")
    assert answers(stack) and answers(other) and answers(demonstrated[2])
    assert " " not in str(stack.data) and other.data == public_folder / "second/data"
    assert (len(stack.workers()), len(other.workers())) == (3, 9)  # so many in each of three pools
    stack.ctl("client", "add", "only-here")
    assert b"only-here" in stack.api("GET", "/api/oauth/clients").body
    assert b"only-here" not in other.api("GET", "/api/oauth/clients").body
    assert other.api("GET", "/divine/oauth/health", key=stack.key).status == 401
    assert not stack.env["VESTAL_SIM_URL"] and not (stack.data / "run/simulator.pid").exists()
    tools.remove()
    check_removed(stack)
    assert answers(other) and answers(demonstrated[2])
    second.remove()
    check_removed(other)


# --- what stops it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        (["--set", "no_such_setting=1"], ["no_such_setting"]),
        (["--set", "rate_per_key=many"], ["rate_per_key", "not a whole number"]),
        (["--set", "provider_timeout_s=0"], ["provider_timeout_s", "from 1 to"]),
        (["--set", "log_level=loud"], ["log_level", "not one of"]),
        (["--set", "no equals sign"], ["no equals sign"]),
        (["--set"], ["--set"]),
        (["--workers", "none"], ["--workers", "none"]),
        (["--workers", "0"], ["--workers"]),
        (["--port", "65536"], ["--port", "65536"]),
        (["--providers", "/no/such/folder"], ["/no/such/folder"]),
        (["--frobnicate"], ["usage"]),
    ],
)
def test_bad_options(demonstrated, public_folder, options, words):
    tools = Tools(demonstrated[0].clone, public_folder / "stack")
    done = tools.up("--no-demo", *options)
    assert done.returncode != 0
    for word in words:
        assert word in done.stdout + done.stderr
    assert not tools.folder.exists() and processes_of(tools.folder / "data") == []


@pytest.mark.parametrize("words", [["--help"], ["--bogus"], ["--port", "x"], ["--set", "nonsense"]])
def test_words_that_start_nothing_leave_no_temporary_file(clone, tmp_path, words):
    subprocess.run([clone / "tools/up", *words], env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=False)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_named(demonstrated, public_folder):
    tools = Tools(demonstrated[0].clone, public_folder / "stack")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", tools.port))
        taken.listen()
        done = tools.up("--no-demo")
    assert done.returncode != 0 and str(tools.port) in done.stderr and "in use" in done.stderr
    assert not tools.folder.exists()


def test_a_broken_provider_definition_is_named(demonstrated, public_folder):
    (public_folder / "providers").mkdir()
    (public_folder / "providers/broken.json").write_text('{"name": "broken"}')
    tools = Tools(demonstrated[0].clone, public_folder / "stack")
    done = tools.up("--no-demo", "--providers", str(public_folder / "providers"))
    assert done.returncode != 0 and "broken" in done.stdout + done.stderr
    tools.run("down", "--remove")
    assert not tools.folder.exists()


# --- last -------------------------------------------------------------------------------------------


def test_remove_leaves_nothing(demonstrated):
    tools, _, stack = demonstrated
    tools.remove()
    check_removed(stack)
    left = git_status(tools.clone)
    assert left in (None, ""), left
    done = tools.run("down", "--remove")
    assert done.returncode == 0 and "nothing to stop" in done.stdout


def git_status(clone):
    """A clone is as clean as before, apart from what it ignores."""
    done = subprocess.run(["git", "-C", str(clone), "status", "--porcelain"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None
