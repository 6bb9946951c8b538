#!/bin/bash
# The rules of the house that a compiler does not know: who may include whom, one door a library, who may look at a
# secret, what is not called, how long things may be. Reads the C sources of fcgi/ and tools/. Prints TAP.
set -euo pipefail

exec python3 - "${srcdir:-$(dirname "${BASH_SOURCE[0]}")/../..}" <<'END'
import re
import sys
from pathlib import Path

tree = Path(sys.argv[1])
FUNCTION_LINES, FILE_LINES = 80, 600

# Room by room, the rooms below it. Siblings are not below each other. The tools stand beside web/.
BELOW = {
    "base": set(),
    "vault": {"base"}, "store": {"base"}, "oauth": {"base"},
    "custody": {"base", "vault", "store", "oauth"},
    "web": {"base", "custody", "store"},
    "main": {"base", "custody", "web"},
    "ctl": {"base", "vault", "store", "oauth", "custody"},
    "refresh": {"base", "vault", "store", "oauth", "custody", "ctl"},  # of ctl/: the owner's account, tables
}
# Of store/, web/ sees what it only lists, and the trail of those it turns away; changes are custody's.
WEB_OF_STORE = {"store/audit.h", "store/client.h", "store/incident.h", "store/report.h"}

# What a library header's name begins with, and who may include it. The first that fits counts.
DOORS = {
    "libpq": {"fcgi/store/db.c", "fcgi/store/role.c", "fcgi/store/rows.c"},  # one door: sending, connecting, reading
    # Mail shares nothing with a request to a provider but the library.
    "curl/": {"fcgi/oauth/http.c", "fcgi/oauth/smtp.c"},
    "fcgi": {"fcgi/web/accept.c"},
    # Clearing and comparing, without any key: base/, vault/, and what libcurl frees.
    "openssl/crypto.h": {"fcgi/base/", "fcgi/vault/"},
    "openssl/": {"fcgi/vault/crypto.c"},
}

# Who looks at the bytes of a secret, and why there is no other way.
REVEAL = "secret_reveal|secret_fill"
REVEALS = {
    "fcgi/base/secret.c": "is the type itself",
    "fcgi/base/secret.h": "declares it",
    "fcgi/vault/ring.c": "writes key rings, and derives a key's id",
    "fcgi/vault/note.c": "derives the key that signs",
    "fcgi/vault/seal.c": "derives the record's key, and seals the plain text",
    "fcgi/vault/fingerprint.c": "hashes the token under the ring's key",
    "fcgi/oauth/token_request.c": "puts code, verifier, token or client secret into the request to the provider",
    "fcgi/oauth/http.c": "hands that request to libcurl",
    "fcgi/oauth/smtp.c": "hands the mail server's password to libcurl",
    "fcgi/custody/distribute.c": "writes the sealed copy and the environment file",
    "fcgi/custody/parcel.c": "writes a token that is kept aside, or in the spool, for sealing, and reads it back",
    "fcgi/custody/journal.c": "writes the spool's answer, and reads it back",
    "fcgi/web/handle_token.c": "answers a service with the token it asked for",
    "tools/ctl/cmd_api_key.c": "shows a new API key, once",
    "tools/ctl/cmd_app.c": "reads a client secret from a file into its place, and checks it",
}

# What is not called, why, and the files that may all the same.
BANNED = {
    "strcpy|stpcpy": ("knows no end", {}),
    "strcat|strncat": ("knows no end", {}),
    "sprintf|vsprintf|gets": ("knows no end; buf_printf and work_printf do", {}),
    "strncpy": ("may leave no NUL", {}),
    "strtok|strtok_r": ("skips empty words; strsep does not", {}),
    "atoi|atol|atoll|atof|s?scanf|fscanf": (
        "sees no error; text_to_int does", {"fcgi/store/migrate.c": "the numbers of our own script names"}),
    "rand|srand|random|srandom|drand48": ("can be guessed; vault_crypto_random cannot", {}),
    "system|popen|execlp|execvp|vfork": ("runs whatever a path or a shell finds", {}),
    "tmpnam|tempnam|mktemp": ("races; file_replace does not", {}),
    "alloca": ("has no ceiling", {}),
    "localtime|gmtime|ctime|asctime": ("shares a buffer, or the host's time zone; base/clock.h has the time", {}),
    "malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf|free": (
        "is never wiped; a unit of work owns and wipes", {
            "fcgi/base/": "the arena and jansson's allocator stand on it",
            "fcgi/vault/keyring.c": "lives as long as the process, and holds no key itself",
            "fcgi/custody/renew.c": "the renewer lives as long as the process",
            "fcgi/store/db.c": "lives as long as the process",
            "fcgi/oauth/http.c": "lives as long as the process, and libcurl's allocator, which wipes",
            "fcgi/oauth/provider.c": "what scandir() gives",
        }),
}


class Source:
    def __init__(self, path):
        self.path = path.relative_to(tree).as_posix()
        room = self.path.split("/")[1]
        self.room = "main" if self.path == "fcgi/main.c" else room
        self.bytes = path.read_bytes()
        self.text = self.bytes.decode("utf-8", "replace")
        blank = lambda match: re.sub(r"[^\n]", " ", match[0])
        self.uncommented = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', lambda match: match[0]
                                  if match[0][0] in "\"'" else blank(match), self.text, flags=re.S)
        self.code = re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, self.uncommented)

    def includes(self, opening):
        return re.findall(rf"^[ \t]*#[ \t]*include[ \t]+{opening}([^>\"\n]+)", self.uncommented, re.M)

    def calls(self, names):
        """The lines that name one of these functions; to hand one on is as good as to call it."""
        for match in re.finditer(rf"(?<![\w.>])(?:{names})\b(?=\s*[(,);])", self.code):
            yield self.code.count("\n", 0, match.start()) + 1, match[0]

    def functions(self):
        """First line and length of each; only the brace of a function stands alone at the margin."""
        for match in re.finditer(r"^\{$.*?^\}$", self.code, re.M | re.S):
            yield self.code.count("\n", 0, match.start()) + 1, match[0].count("\n") + 1

    def is_one_of(self, places):
        return any(self.path == place or place.endswith("/") and self.path.startswith(place) for place in places)


sources = [Source(path) for folder in ("fcgi", "tools") for path in sorted((tree / folder).rglob("*"))
           if path.suffix in (".c", ".h", ".def") and ".auto." not in path.name]


def arrow():
    for source in sources:
        for name in source.includes('"') + [name for name in source.includes("<") if name.split("/")[0] in BELOW]:
            room = name.split("/")[0] if "/" in name else "no folder"
            if room != source.room and room not in BELOW.get(source.room, set()):
                yield f"{source.path} includes {name}"
            elif source.room == "web" and room == "store" and name not in WEB_OF_STORE:
                yield f"{source.path} includes {name}: what web/ sees of store/ is a closed list"


def doors():
    for source in sources:
        for name in source.includes("<"):
            door = next((door for door in DOORS if name.startswith(door)), None)
            if door and not source.is_one_of(DOORS[door]):
                yield f"{source.path} includes <{name}>"


def reveals():
    for source in sources:
        if source.path not in REVEALS:
            yield from (f"{source.path}:{line} looks at a secret" for line, _ in source.calls(REVEAL))


def banned():
    for source in sources:
        for names, (why, exceptions) in BANNED.items():
            if not source.is_one_of(exceptions):
                yield from (f"{source.path}:{line} {name} {why}" for line, name in source.calls(names))


def outdated():
    here = {source.path: source for source in sources}
    for path in REVEALS:
        if path not in here or not list(here[path].calls(REVEAL)):
            yield f"{path} looks at no secret"
    for names, (_, exceptions) in BANNED.items():
        yield from (f"{path} calls none of {names}" for path in exceptions
                    if not any(list(source.calls(names)) for source in sources if source.is_one_of([path])))


def letters():
    for source in sources:
        if not source.uncommented.isascii() or "\ufffd" in source.text:
            yield f"{source.path} has letters beyond ASCII outside comments, or is not UTF-8"


def lengths():
    for source in sources:
        lines = source.text.count("\n")
        if lines > FILE_LINES:
            yield f"{source.path} has {lines} lines"
        yield from (f"{source.path}:{line} has {length} lines" for line, length in source.functions() if length > FUNCTION_LINES)


checks = {
    "includes carry their folder and follow the arrow": arrow(),
    "every library has one door": doors(),
    "secrets are looked at only where the list says": reveals(),
    "nothing banned is called": banned(),
    "no exception of these lists has outlived its reason": outdated(),
    "sources are ASCII, beside comments in UTF-8": letters(),
    f"no function has over {FUNCTION_LINES} lines, no file over {FILE_LINES}": lengths(),
}
print(f"1..{len(checks)}")
failed = not sources
for number, (name, faults) in enumerate(checks.items(), 1):
    faults = list(faults) if sources else ["no sources found"]
    failed = failed or bool(faults)
    print(f"{'not ok' if faults else 'ok'} {number} - {name}")
    for fault in faults:
        print(f"# {fault}")
sys.exit(failed)
END
