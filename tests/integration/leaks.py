"""Looks for secrets where they do not belong, in whatever form they may have got there.

needles() makes the forms, search_files() and search_text() find them. What is found is named by its place and a
label, never by its value.
"""

import base64
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote, quote_plus

LEAST_BYTES = 8  # shorter values would be found by chance


def base64_cores(value):
    """What is in the base64 of any text that holds the value, whatever stands around it."""
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + value)
        yield text[(0, 2, 3)[shift] : len(text) // 4 * 4 - 4]  # the ends depend on the neighbours


def forms(value):
    """The value raw (its longest line), URL-encoded, as JSON, base64 (both alphabets), hex (both cases)."""
    raw = value if isinstance(value, bytes) else value.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    if not isinstance(value, bytes):
        once = quote(value, safe="")
        found |= {text.encode() for text in (once, quote_plus(value), quote(once, safe=""), value.replace("/", "\\/"))}
    for core in base64_cores(raw):
        found |= {core, core.translate(bytes.maketrans(b"+/", b"-_"))}
    return {piece for form in found if len(piece := max(form.split(b"\n"), key=len)) >= LEAST_BYTES}


class Needles(dict):
    """Form -> label. A failing test prints its arguments; not these."""

    def __repr__(self):
        return f"<{len(self)} forms of secrets>"


def needles(values):
    """For values given as label -> collection of texts or bytes."""
    return Needles({form: label for label, group in values.items() for value in group if value for form in forms(value)})


def search_files(wanted, paths):
    """The (path, label) pairs that were found. Follows no links; what cannot be read is an error."""
    files = []
    for path in map(Path, paths):
        files += [path] if not path.is_dir() else [f for f in path.rglob("*") if f.is_file() and not f.is_symlink()]
    if not files or not wanted:
        return set()
    with tempfile.NamedTemporaryFile() as patterns:
        os.fchmod(patterns.fileno(), 0o600)
        patterns.write(b"\n".join(wanted) + b"\n")
        patterns.flush()
        done = subprocess.run(
            ["xargs", "-0", "grep", "-aoFZ", "-f", patterns.name, "--with-filename", "--"],
            input=b"\0".join(os.fsencode(f) for f in files), capture_output=True, env={"LC_ALL": "C", "PATH": os.environ["PATH"]})  # fmt: skip
    assert done.returncode in (0, 1, 123) and not done.stderr, done.stderr
    hits = (line.split(b"\0", 1) for line in done.stdout.split(b"\n") if line)
    return {(os.fsdecode(path), wanted[found]) for path, found in hits}


def search_text(wanted, name, content):
    """The same for what is in memory: (name, label) pairs."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return {(name, label) for _, label in search_files(wanted, [file.name])}
