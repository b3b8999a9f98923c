#!/usr/bin/env bash
# Polls every discovery surface of a control service, and checks that each has its shape and that
# they agree. Needs curl and python3.
#
#   scripts/fabric-selfcheck.sh http://127.0.0.1:8080
#
# Writes one line for each surface. Ends with 1 when something is wrong, with 2 when it was called wrongly.
set -euo pipefail

[ $# = 1 ] || {
  echo "usage: $0 URL" >&2
  exit 2
}
base=${1%/}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

# surface PATH TYPE: answers 200 with this media type.
failed=0
surface() {
  local path=$1 wanted=$2 said status type
  said=$(curl -sS --noproxy '*' --max-time 10 -o "$place/${path//\//_}" \
    -w '%{http_code} %{content_type}' "$base$path" 2>&1) || {
    echo "wrong $path: $said"
    failed=1
    return
  }
  status=${said%% *} type=${said#* }
  if [ "$status" != 200 ] || [ "${type%%;*}" != "$wanted" ]; then
    echo "wrong $path: $said, not 200 $wanted"
    failed=1
    return
  fi
  echo "ok    $path"
}

surface /healthz text/plain
surface /readyz text/plain
surface /versionz application/json
surface /contractz application/json
surface /fabric-presencez application/json
surface /fabric-compatibilityz application/json
surface /fabric-manifest.json application/json
surface /metrics text/plain
surface /openapi.json application/json
surface /docs text/html
surface /redoc text/html
[ "$failed" = 0 ] || exit 1

python3 - "$place" <<'PYTHON'
import json
import pathlib
import sys

place = pathlib.Path(sys.argv[1])
wrong = []


def read(path):
    return json.loads((place / path.replace("/", "_")).read_text())


def check(fine, what):
    if not fine:
        wrong.append(what)


version = read("/versionz")
contracts = read("/contractz")
manifest = read("/fabric-manifest.json")
presence = read("/fabric-presencez")
compatibility = read("/fabric-compatibilityz")
api = read("/openapi.json")

for name, document in [
    ("/contractz", contracts),
    ("/fabric-manifest.json", manifest),
    ("/fabric-presencez", presence),
    ("/fabric-compatibilityz", compatibility),
]:
    check(document.get("schemaVersion") == 1, f"{name}: schemaVersion is not 1")
    check(document.get("service") == version.get("name"), f"{name}: not the service of /versionz")
    check(document.get("version") == version.get("version"), f"{name}: not the version of /versionz")

check(api.get("openapi", "").startswith("3.1"), "/openapi.json: not OpenAPI 3.1")
check(
    api.get("info", {}).get("version") == version.get("version"),
    "/openapi.json: not the version of /versionz",
)
check(bool(presence.get("instance")), "/fabric-presencez: no instance")
check(bool(presence.get("aliveSince")), "/fabric-presencez: no time since which it lives")
check(bool(compatibility.get("compatible", {}).get("proxy")), "/fabric-compatibilityz: no proxies")

entries = {entry["id"]: entry for entry in contracts.get("entries", [])}
check(bool(entries), "/contractz: no entries")
required = {"direction", "type", "surface", "auth", "stability", "versioning", "owner"}
for id, entry in entries.items():
    check(required <= entry.keys(), f"/contractz: {id} lacks {sorted(required - entry.keys())}")

surfaces = {surface["path"]: surface for surface in manifest.get("surfaces", [])}
for path, surface in surfaces.items():
    entry = entries.get(surface.get("contract"), {})
    check(entry.get("surface") == path, f"/fabric-manifest.json: {path} is no contract's")
for path in manifest.get("discovery", []):
    check(path in surfaces, f"/fabric-manifest.json: {path} is no surface")
for path in api.get("paths", {}):
    below = any(path == known or path.startswith(known + "/") for known in surfaces)
    check(below, f"/openapi.json: {path} is below no surface of the manifest")

for text in wrong:
    print(f"wrong {text}")
if wrong:
    sys.exit(1)
print(f"ok    {len(surfaces)} surfaces and {len(entries)} contracts agree")
PYTHON
