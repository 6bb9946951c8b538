"""Health of many connections: complete, in order, of flat memory, and read from indexes."""

import json
from contextlib import closing

import pytest
from harness import TREE
from test_statements import Statement, session

COUNT = 12_000  # several of the pages that the store reads
ID = "to_char({n}, '\"herd-\"FM00000')"

GROW = f"""
insert into vestal.client (id, name) select {ID.format(n="n")}, 'x' from generate_series(1, {COUNT}) n;
insert into vestal.connection (client_id, provider, last_generation, state, cause, datacenter, overdue_at)
	select {ID.format(n="n")}, 'zoho_crm', 1, 'live', 'none', 'us', case when n % 10 = 0 then now() else now() + interval '1 hour' end
	from generate_series(1, {COUNT}) n;
insert into vestal.token (connection_id, generation, access_sealed, access_fingerprint, token_type, issued_at, granted_at, expires_at)
	select id, 1, '', '', 'Bearer', now(), now(), now() + interval '1 hour' from vestal.connection where client_id like 'herd-%';
analyze vestal.connection, vestal.token, vestal.client;
"""
SHRINK = """
delete from vestal.token where connection_id in (select id from vestal.connection where client_id like 'herd-%');
delete from vestal.connection where client_id like 'herd-%';
delete from vestal.client where id like 'herd-%';
analyze vestal.connection, vestal.token, vestal.client;
"""


@pytest.fixture(scope="module")
def herd(stack):
    def run(script):
        with closing(stack.connect_database()) as database, database.cursor() as cursor:
            cursor.execute(script)

    run(GROW)
    yield stack
    run(SHRINK)


def health(stack, **query):
    answer = stack.api("GET", "/divine/oauth/health", **query)
    assert answer.status == 200, answer
    return answer.json["data"]


def names(data):
    return [(row["clientId"], row["provider"]) for row in data["tokens"]]


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def test_everything_is_listed_once_and_counted(herd):
    data = health(herd)
    listed = names(data)
    assert listed == sorted(set(listed)) and data["next"] is None
    assert sum(client.startswith("herd-") for client, _ in listed) == COUNT
    assert data["total"] == len(listed) and data["unhealthy"] == sum(row["status"] != "healthy" for row in data["tokens"])
    assert data["unhealthy"] >= COUNT // 10
    counted = health(herd, limit=1)
    assert (counted["total"], counted["unhealthy"]) == (data["total"], data["unhealthy"]), "the list and the count disagree"


def test_a_page_may_be_longer_than_those_of_the_store(herd):
    whole, seen, after = names(health(herd)), [], {}
    while True:
        page = health(herd, limit=7000, **after)
        seen += names(page)
        if not page["next"]:
            break
        after = {"after": page["next"]}
    assert seen == whole
    rest = health(herd, after="herd-06000/zoho_crm")
    assert names(rest) == whole[whole.index(("herd-06000", "zoho_crm")) + 1 :] and rest["next"] is None
    assert rest["total"] == len(whole), "counts are of the filtered set, wherever a page begins"


def test_filters_hold_over_all_pages(herd):
    late = health(herd, status="expiring", provider="zoho_crm")
    assert sum(client.startswith("herd-") for client, _ in names(late)) == COUNT // 10
    assert {row["status"] for row in late["tokens"]} == {"expiring"} and late["total"] == late["unhealthy"] == len(late["tokens"])


def test_memory_stays_flat(herd):
    health(herd, limit=10)
    before = {pid: private_kib(pid) for pid in herd.workers("fast")}
    for _ in range(4 * len(before)):
        health(herd)
    grown = {pid: private_kib(pid) - kib for pid, kib in before.items() if pid in herd.workers("fast")}
    assert grown and max(grown.values()) < 3000, grown


def test_times_are_those_of_the_database(herd):
    """Written by the program, not by the statement: to the millisecond, cut and not rounded; null where there is none."""
    when = {"2026-01-31 12:00:00+00": "2026-01-31T12:00:00.000Z", "2026-01-31 12:00:00.9999+00": "2026-01-31T12:00:00.999Z",
            "2026-01-31 12:00:00.12+02": "2026-01-31T10:00:00.120Z", "2026-12-01 00:00:00.000001+00": "2026-12-01T00:00:00.000Z"}  # fmt: skip
    for stored, shown in when.items():
        herd.sql("update vestal.connection set last_proved_at = %s, last_refreshed_at = null where client_id = 'herd-00007'", stored)
        (row,) = health(herd, clientId="herd-00007")["tokens"]
        assert (row["lastProvedAt"], row["lastRefreshedAt"]) == (shown, None)
        assert herd.sql("select vestal.rfc3339(%s::timestamptz)", stored) == [(shown,)]


# --- plans


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def plan_of(stack, name, mode, *values):
    statement = Statement(TREE / f"sql/queries/report/{name}.sql")
    with session(stack, "worker") as connection, connection.cursor() as cursor:
        cursor.execute(f"set plan_cache_mode = {mode}")
        cursor.execute(f"prepare tried as {statement.sql}")
        cursor.execute(f"explain (format json) execute tried ({', '.join(['%s'] * len(values))})", values)
        (found,) = cursor.fetchone()
    found = found if isinstance(found, list) else json.loads(found)
    return list(nodes(found[0]["Plan"]))


MODES = ["force_generic_plan", "force_custom_plan"]


def walked(plan):
    """Tables read from end to end; the gates are few, and always are, and so are apps as a rule."""
    return {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"} - {"provider_state", "app"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [None, ["expiring", "invalid"]])
@pytest.mark.parametrize("provider", [None, ["zoho_crm"]])
def test_a_page_is_read_in_the_order_of_an_index(herd, mode, status, provider):
    plan = plan_of(herd, "list", mode, provider, status, "herd-06000", "zoho_crm", 100)
    assert walked(plan) == set() and not [n for n in plan if "Sort" in n["Node Type"]], plan
    (scan,) = [node for node in plan if node.get("Relation Name") == "connection"]
    assert "client_id" in scan["Index Cond"] and scan["Node Type"].startswith("Index"), "it does not begin at the page's first row"


@pytest.mark.parametrize("mode", MODES)
def test_clients_are_looked_up(herd, mode):
    plan = plan_of(herd, "list_clients", mode, ["herd-00007", "herd-00008"], None, None, "", "", 100)
    assert walked(plan) == set(), plan
    (scan,) = [node for node in plan if node.get("Relation Name") == "connection"]
    assert "= ANY" in scan.get("Index Cond", "") or any("= ANY" in n.get("Index Cond", "") for n in plan)
