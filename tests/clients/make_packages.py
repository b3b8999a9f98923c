"""Makes a tiny wheel and a tiny npm package in the directory that the argument names, with
packages.json, which says what pip and npm need to know of them."""

import base64
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import zipfile

directory = pathlib.Path(sys.argv[1])
NAME, VERSION = "tiny-gate", "1.0.0"


def record(path, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(content)}\n"


wheel = directory / f"tiny_gate-{VERSION}-py3-none-any.whl"
about = f"tiny_gate-{VERSION}.dist-info"
files = {
    "tiny_gate.py": b"OPEN = True\n",
    f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n".encode(),
    f"{about}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
lines = "".join(record(path, content) for path, content in files.items())
files[f"{about}/RECORD"] = f"{lines}{about}/RECORD,,\n".encode()
with zipfile.ZipFile(wheel, "w") as archive:
    for path, content in files.items():
        archive.writestr(path, content)

tarball = directory / f"{NAME}-{VERSION}.tgz"
with tarfile.open(tarball, "w:gz") as archive:
    for path, content in {
        "package/package.json": json.dumps({"name": NAME, "version": VERSION}).encode(),
        "package/index.js": b"module.exports = true;\n",
    }.items():
        member = tarfile.TarInfo(path)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

integrity = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
packages = {
    "wheel": {
        "name": NAME,
        "version": VERSION,
        "file": wheel.name,
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    },
    "tarball": {
        "name": NAME,
        "version": VERSION,
        "file": tarball.name,
        "integrity": f"sha512-{integrity}",
    },
}
(directory / "packages.json").write_text(json.dumps(packages, indent=2))
