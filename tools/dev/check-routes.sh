#!/bin/bash
# What is said twice must be said alike: routes, their pools, roles and fields (fcgi/web/route.c, nginx, openapi.json,
# README.md), errors (err.def, problems.conf, openapi.json) and settings (option.def, vestal.conf.5). Prints TAP.
set -euo pipefail

exec python3 - "${srcdir:-$(dirname "${BASH_SOURCE[0]}")/../..}" <<'END'
import json
import re
import sys
from pathlib import Path

tree = Path(sys.argv[1])


def read(path):
    return (tree / path).read_text(encoding="utf-8")


# --- fcgi/web/route.c: its macros expanded, then row by row

def expanded(source):
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S).replace("\\\n", " ")
    macros = re.findall(r"^#define (\w+)(?:\(([^)]*)\))?[ \t]+(.*)$", source, re.M)
    source = re.sub(r"^#.*$", "", source, flags=re.M)
    for name, params, body in reversed(macros):  # one may use those above it
        def replace(match):
            text = body
            for param, value in zip(params.split(","), (match[1] or "").split(",")):
                text = re.sub(rf"\b{param.strip()}\b", value.strip(), text) if param else text
            return text
        source = re.sub(rf"\b{name}\b" + (r"\(([^)]*)\)" if params else "()"), replace, source)
    return source


def rows(pattern, text, opening):
    """All rows of an initializer; a row that the pattern does not know is a fault of this script, not a pass."""
    found = re.findall(pattern, text)
    assert len(found) == text.count(opening), f"{len(found)} of {text.count(opening)} rows understood: {text[:60]}"
    return found


route_c = expanded(read("fcgi/web/route.c"))
fields = {
    name: {(place.lower(), field, type_, required != "0", int(least), int(most)) for field, type_, place, required, least, most
           in rows(r'\{\s*"(\w+)",\s*WEB_TYPE_(\w+),\s*WEB_IN_(\w+),\s*(\d+),\s*(\d+),\s*(\d+)\s*\}', body, "WEB_TYPE_")}
    for name, body in re.findall(r"struct web_field (\w+)\[\] = \{(.*?)\};", route_c, re.S)
}
table = re.search(r"web_routes\[\] = \{(.*?)\};", route_c, re.S)[1]
routes = {
    (method, path): {"roles": set(re.findall(r"(?:custody|web_by)_(\w+)", callers.lower())), "pool": pool.lower(),
                     "head": head != "0", "any_query": any_query != "0", "fields": fields[names]}
    for method, path, callers, pool, head, any_query, names
    in rows(r'\{\s*"([A-Z]+)",\s*"([^"]+)",\s*\w+,\s*([^,"]+),\s*WEB_POOL_(\w+),\s*(\d),\s*(\d),\s*(\w+),?\s*\}', table, "WEB_POOL_")
}
static = ("GET", "/openapi.json")  # nginx serves it; the table of the workers does not know it

# --- nginx/html/openapi.json

api = json.loads(read("nginx/html/openapi.json"))


def resolve(node):
    while "$ref" in node:
        target = api
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def field(place, name, schema, required):
    """A field as route.c would declare it."""
    named = {"ClientId": "CLIENT", "ProviderName": "PROVIDER"}.get(schema.get("$ref", "").split("/")[-1])
    schema = resolve(schema)
    kind = named or {"string": "TEXT", "integer": "INT", "boolean": "BOOL", "array": "NAMES" if place == "body" else "WORDS"}[schema["type"]]
    least = schema.get("minLength", schema.get("minimum", 0))
    most = schema.get("maxLength", schema.get("maximum", schema.get("maxItems", 0)))
    return (place, name, kind, required, least, most)


def fields_of(item, operation):
    parameters = [resolve(p) for p in item.get("parameters", []) + operation.get("parameters", [])]
    found = {field(p["in"], p["name"], p["schema"], p.get("required", False)) for p in parameters if p["in"] != "header"}
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body["additionalProperties"] is False, "a body takes what the worker refuses"
        found |= {field("body", name, schema, name in body["required"]) for name, schema in body["properties"].items()}
    return found


operations = {
    (method.upper(), re.sub(r"\{(\w+)\}", r":\1", path)): {
        "roles": set(operation["x-vestal-roles"]), "head": operation.get("x-vestal-head", False),
        "open": operation.get("security") == [], "fields": fields_of(item, operation), "responses": operation["responses"]}
    for path, item in api["paths"].items() for method, operation in item.items() if method != "parameters"
}

# --- nginx/vestal.conf.in: where it would send a request

nginx = re.sub(r"(^|\s)#.*$", "", read("nginx/vestal.conf.in"), flags=re.M)


def block(start):
    """The text between the brace at `start` and its partner."""
    depth, at = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(nginx[at], 0)
        at += 1
    return nginx[start:at - 1]


locations = {m[1]: block(m.end()) for m in re.finditer(r"^\s*location ((?:= )?\S+) \{", nginx, re.M)}
pool_map = re.search(r'map "\$request_method \$uri" \$vestal_pool \{(.*?)\n\}', nginx, re.S)[1]
pool_default = re.search(r"default (\w+);", pool_map)[1]
pool_rules = re.findall(r'"~([^"]+)" (\w+);', pool_map)


def sent_to(method, pattern):
    path = re.sub(r":\w+", "x1", pattern)
    prefixes = [p for p in locations if path.startswith(p)]
    body = locations.get(f"= {path}") or locations[max(prefixes, key=len)]
    for condition, status in re.findall(r"if \(\$request_method ~ (\S+)\) \{ return (\d+); \}", body):
        if re.search(condition, method):
            body = locations[re.search(rf"error_page {status} = (@\w+);", body)[1]]
            break
    target = re.search(r"fastcgi_pass (\S+);", body)
    if not target:
        return "file"
    if target[1] != "$vestal_pool":
        return target[1]
    return next((pool for rule, pool in pool_rules if re.search(rule, f"{method} {path}")), pool_default)


# --- README.md

letters = {"A": {"admin"}, "O": {"operator"}, "U": {"auditor"}, "S": {"service"},
           "the state": {"state"}, "this host": {"monitor"}}
readme = {}
for method, path, who in re.findall(r"^\| `([A-Z]+) (/\S*?)` \| ([^|]+) \|", read("README.md"), re.M):
    readme[(method, path)] = letters.get(who.strip()) or set().union(*(letters.get(w, {w}) for w in who.split()))

# --- errors and settings

worker_errors = {(slug, int(status)) for status, slug in re.findall(r'^ERR\(\w+, (\d+), "(\w+)"', read("fcgi/base/err.def"), re.M)}
nginx_errors = {(slug, int(status)) for slug, status
                in re.findall(r'urn:vestal:error:(\w+)".*?"status":(\d+)', read("nginx/problems.conf"))}
nginx_listed = {(slug, int(status)) for status, slug in re.findall(r"^\| (\d+) \| `(\w+)` \|", read("nginx/README.md"), re.M)}
settings = re.findall(r'^OPTION\((\w+), (\w+), (.+?), (\d+), (\d+), ', read("fcgi/base/option.def"), re.M)
assert len(settings) == read("fcgi/base/option.def").count("\nOPTION("), "a row of option.def was not understood"
manual = read("tools/ctl/vestal.conf.5")
manual_read, _, _ = manual.partition(".SH SETTINGS THAT ARE ONLY CHECKED\n")
only_checking = {"conf.c", "cmd_doctor.c"}
code = "".join(path.read_text() for folder in ("fcgi", "tools") for path in (tree / folder).rglob("*")
               if path.suffix in (".c", ".sh") and path.name not in only_checking)


def error_faults():
    for key, operation in operations.items():
        for status, response in operation["responses"].items():
            for media in resolve(response).get("content", {}).values():
                for urn in media.get("schema", {}).get("properties", {}).get("type", {}).get("enum", []):
                    slug = urn.removeprefix("urn:vestal:error:")
                    known = {s for name, s in worker_errors | nginx_errors if name == slug}
                    if not known or (status != "default" and int(status) not in known):
                        yield f"{' '.join(key)}: {status} {slug}"


def default_text(text):
    text = text.replace('VESTAL_CONF_DIR "', '"/etc/vestal').replace('VESTAL_DATA_DIR', '"/usr/share/vestal"')
    text = text.replace("VESTAL_STATE_DIR", '"/var/lib/vestal"').replace("VESTAL_RUN_DIR", '"/run/vestal"').strip('"')
    return f"default {text}" if text else "unset by default"


def setting_faults():
    for name, kind, default, least, most in settings:
        entry = re.search(rf"^\.TP\n\.BR {name} \" \((.*)\)\"$", manual, re.M)
        wanted = [default_text(default)] + ([f"{least} to {most}"] if kind == "NUMBER" else [])
        if not entry or any(words not in entry[1] for words in wanted):
            yield f"{name}: vestal.conf.5 does not say {' and '.join(wanted)}"
        is_read = re.search(rf"\bCONF_{name}\b|effective {name}\b", code) is not None
        if is_read != (f"\n.BR {name} " in manual_read):
            yield f"{name}: is{'' if is_read else ' not'} read, which vestal.conf.5 denies"
    known = {name for name, *_ in settings}
    yield from (f"{name} is no setting" for name in re.findall(r"^\.TP\n\.BR (\w+) ", manual, re.M) if name not in known)


def different(left, right, what=""):
    return [f"{' '.join(key)}{what}: {left.get(key)} here, {right.get(key)} there"
            for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)]


def column(things, name, without=()):
    return {key: thing[name] for key, thing in things.items() if key not in without}


def head(paths):
    return {("HEAD", path): True for (_, path), is_head in paths.items() if is_head}


described = column(operations, "roles", [static])
page_links = re.findall(r'(?:href|src)=\\"(/[^\\]+)\\"', read("fcgi/web/reply.c"))
checks = {
    "the routes and roles of openapi.json are those of route.c": different(column(routes, "roles"), described),
    "the routes and roles of README.md are those of route.c": different(column(routes, "roles"), readme),
    "openapi.json describes itself, for anyone": [] if operations.get(static, {}).get("roles") == {"anyone"} else ["it does not"],
    "openapi.json asks for a key where a role is needed": [
        " ".join(key) for key, op in operations.items() if op["open"] == bool(op["roles"] & {"admin", "operator", "auditor", "service"})],
    "openapi.json and route.c agree on HEAD": different(
        head(column(routes, "head")), head(column(operations, "head", [static]))),
    "openapi.json and route.c agree on parameters and bodies": different(
        {key: {f for f in op["fields"] if f[0] == "path" or not routes[key]["any_query"]}
         for key, op in operations.items() if key in routes}, column(routes, "fields"), " fields"),
    "nginx sends every route to its pool": different(
        {key: sent_to(*key) for key in routes}, {key: f"vestal_{route['pool']}" for key, route in routes.items()}),
    "nginx serves openapi.json and what the pages link to, and the files are there": [
        path for path in [static[1], *page_links] if sent_to("GET", path) != "file" or not (tree / f"nginx/html{path}").is_file()],
    "every error of openapi.json exists, with its status": list(error_faults()),
    "every error of nginx is in openapi.json and in nginx/README.md": sorted(
        f"{slug} {status}" for slug, status in nginx_errors ^ nginx_listed) + [
        slug for slug, _ in nginx_errors if f'"urn:vestal:error:{slug}"' not in json.dumps(api)],
    "openapi.json has the version of configure.ac": [
        api["info"]["version"]] if f"[{api['info']['version']}]" not in read("configure.ac") else [],
    "vestal.conf.5 has every setting, with default, range and whether it is read": list(setting_faults()),
}
print(f"1..{len(checks)}")
for number, (name, faults) in enumerate(checks.items(), 1):
    print(f"{'not ok' if faults else 'ok'} {number} - {name}")
    for fault in faults:
        print(f"# {fault}")
sys.exit(any(checks.values()))
END
