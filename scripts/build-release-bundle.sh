#!/usr/bin/env bash
# Makes the release bundle: the program, what its users read, a bill of materials (CycloneDX 1.5) and
# checksums. The same program and SOURCE_DATE_EPOCH give the same bytes.
#
#   scripts/build-release-bundle.sh [--binary FILE] [--out DIR]
#
# --binary  a program that is built already [default: one is built with the profile `dist`]
# --out     where the bundle is written [default: target/bundle]
# SOURCE_DATE_EPOCH  the time of everything in it [default: that of the last commit]
set -euo pipefail
cd "$(dirname "$0")/.."

binary='' out=target/bundle
while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?--binary needs a file} && shift 2 ;;
    --out) out=${2:?--out needs a directory} && shift 2 ;;
    *)
      echo "usage: $0 [--binary FILE] [--out DIR]" >&2
      exit 2
      ;;
  esac
done

epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
host=$(rustc -vV | sed -n 's/^host: //p')
if [ -z "$binary" ]; then
  cargo build --profile dist --locked -p sallygate
  binary=target/dist/sallygate
fi
[ -x "$binary" ] || {
  echo "$0: \`$binary\` is no program" >&2
  exit 1
}

mkdir -p "$out"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

# The version is that of the workspace; the bill is what cargo resolved for this platform.
cargo metadata --format-version 1 --locked --offline --filter-platform "$host" >"$place/metadata.json"
version=$(python3 - "$place/metadata.json" "$place/sbom.cdx.json" "$epoch" <<'PYTHON'
import datetime
import json
import sys

metadata = json.load(open(sys.argv[1], encoding="utf-8"))
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
root = next(p for p in metadata["packages"] if p["name"] == "sallygate" and p["source"] is None)


def needs(id):
    """What is built into or used to build a package: no dependencies of tests."""
    kinds = lambda dep: {kind["kind"] for kind in dep["dep_kinds"]}
    return sorted(dep["pkg"] for dep in nodes[id]["deps"] if kinds(dep) - {"dev"})


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


seen, open_ = set(), [root["id"]]
while open_:
    id = open_.pop()
    if id not in seen:
        seen.add(id)
        open_.extend(needs(id))


def component(package):
    made = {
        "type": "application" if package is root else "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package.get("license"):
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return made


used = sorted((packages[id] for id in seen), key=reference)
time = datetime.datetime.fromtimestamp(int(sys.argv[3]), datetime.timezone.utc)
bill = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": component(root)},
    "components": [component(package) for package in used if package is not root],
    "dependencies": [
        {
            "ref": reference(package),
            "dependsOn": sorted({reference(packages[id]) for id in needs(package["id"])}),
        }
        for package in used
    ],
}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(bill, file, indent=1, sort_keys=True)
    file.write("\n")
print(root["version"])
PYTHON
)

name=sallygate-$version-$host
tree=$place/$name
mkdir "$tree"
install -m 755 "$binary" "$tree/sallygate"
install -m 644 LICENSE README.md CHANGELOG.md COMPATIBILITY_MATRIX.md .env.example "$place/sbom.cdx.json" "$tree/"
mkdir "$tree/scripts" "$tree/docs"
install -m 755 scripts/fabric-selfcheck.sh "$tree/scripts/"
install -m 644 docs/ENVIRONMENT.md docs/INTEGRATIONS.md "$tree/docs/"
(cd "$tree" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)

archive=$out/$name.tar.gz
tar --create --directory "$place" --sort=name --format=ustar --mtime="@$epoch" \
  --owner=0 --group=0 --numeric-owner --mode='u+rw,go+r-w,a+X' "$name" |
  gzip --no-name --best >"$archive"
cp "$place/sbom.cdx.json" "$out/$name.sbom.cdx.json"
(cd "$out" && sha256sum "$name.tar.gz" "$name.sbom.cdx.json" >"$name.sha256")
echo "$archive"
