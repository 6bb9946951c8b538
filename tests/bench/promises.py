"""What is promised, beside what was measured. It says so; it never judges a run."""

# name of what was measured -> what it is, "least" or "most", how much
PROMISES = {
    "token / empty worker": ("token read: requests/s, of the empty worker's", "least", 0.30),
    "token / express": ("token read: requests/s, of Express'", "least", 2.5),
    "token / fastify": ("token read: requests/s, of Fastify's", "least", 1.25),
    "token p99 / express": ("token read: p99, of Express'", "most", 1 / 3),
    "memory / express": ("private memory of a worker, of an Express process'", "most", 1 / 20),
    "memory / fastify": ("private memory of a worker, of a Fastify process'", "most", 1 / 20),
    "renewals / limit, 200": ("renewals: time, of N x latency / C, at 200", "most", 1.10),
    "renewals / limit, 500": ("renewals: time, of N x latency / C, at 500", "most", 1.20),
    "renewals' CPU / node, 200": ("renewals: CPU, of the Node refresher's, at 200", "most", 0.5),
    "renewals' CPU / node, 500": ("renewals: CPU, of the Node refresher's, at 500", "most", 0.5),
    "listing / json_agg": ("list of 100,000: time, of json_agg's in psql", "most", 0.5),
    "listing, first byte": ("list of 100,000: first byte, ms", "most", 10),
    "listing, memory": ("list of 100,000: private memory of a worker, MiB", "most", 12),
    "memory, many / few due": ("renewals: peak memory, of that with 1,000 due", "most", 1.10),
    "heap fetches of the due query": ("due query: rows fetched from the table", "most", 0),
}


def judge(measured):
    rows = []
    for name, value in measured.items():
        text, bound, promised = PROMISES[name]
        holds = value["median"] >= promised if bound == "least" else value["median"] <= promised
        rows.append({"name": name, "what": text, "bound": bound, "promised": promised, "measured": value, "holds": holds})
    return rows


def print_table(rows):
    print(f"\n{'promise':52}{'promised':>16}{'measured':>10}{'min':>8}{'max':>8}")
    for row in rows:
        measured, promised = row["measured"], f"at {row['bound']} {row['promised']:.3f}"
        print(f"{row['what']:52}{promised:>16}{measured['median']:10.3f}{measured['min']:8.3f}{measured['max']:8.3f}  "
              + ("holds" if row["holds"] else "does not hold"))  # fmt: skip
