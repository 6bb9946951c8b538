"""The benchmark: what Vestal does beside what others do, in the same run on the same machine.

It starts a stack of its own and removes it. What is measured: README.md. Numbers are printed beside what is promised
and never judged; what ends it with an error is a wrong answer or a lost row, because its speed would mean nothing.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import listing
import promises
import reads
import renewals
from stand import free_port, running_stack, say, simulator

PARTS = {"reads": reads, "renewals": renewals, "listing": listing}


def run(options):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, simulator() as (sim, make_providers):
        say("starting a stack")
        folder, slow_port = Path(folder), free_port()
        providers = folder / "providers"
        subprocess.run([*make_providers, "--out", providers], check=True, stdout=subprocess.DEVNULL)
        (providers / f"{renewals.PROVIDER}.json").write_text(json.dumps(renewals.definition(slow_port)))
        report = {}
        with running_stack(folder / "stack", providers, options.workers) as stack:
            if options.only in (None, "reads"):
                report["reads"] = reads.run(stack, sim, options)
            if options.only in (None, "renewals"):
                report["renewals"] = renewals.run(stack, slow_port, options)
            if options.only in (None, "listing"):
                report["listing"] = listing.run(stack, options)
    measured = {name: value for part in report.values() for name, value in part["promised"].items()}
    return report | {"promises": promises.judge(measured)}


def number(most):
    def read(text):
        if not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from 1 to {most}")
        return int(text)

    return read


def read_options():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Measures Vestal on a stack of its own.")
    for name, default, most, text in (
        ("rounds", 5, 64, "how often each read and list is measured"), ("seconds", 2, 64, "each time"),
        ("workers", 4, 64, "in the pool"), ("node", 2, 64, "processes of each Node peer of the reads"),
        ("listed", 100_000, 1_000_000, "connections in the list"), ("renewals", 10_000, 100_000, "in each round"), ("renewal-rounds", 3, 64, "how often they are renewed"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=number(most), default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    parser.add_argument("--million", action="store_true", help="memory and due query with a million connections, too")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    return parser.parse_args()


def main():
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = run(options)
    if options.json:
        print(json.dumps(report, indent=1))
        return
    for name, part in PARTS.items():
        if name in report:
            part.print_table(report[name])
    promises.print_table(report["promises"])


if __name__ == "__main__":
    main()
