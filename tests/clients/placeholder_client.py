"""A body in pieces, from a sandbox: over HTTP of the first argument, to the second, in pieces of the
third's size, of the type of the fourth, from the file of the fifth. A sixth says how it is coded."""

import gzip
import sys

import httpx
from steps import step

version, url, size, kind, file = sys.argv[1:6]
with open(file, "rb") as opened:
    body = opened.read()
headers = {"content-type": kind}
if sys.argv[6:] == ["gzip"]:
    headers["content-encoding"] = "gzip"
    body = gzip.compress(body)

pieces = (body[at : at + int(size)] for at in range(0, len(body), int(size)))
with httpx.Client(http2=version == "2") as client:
    try:
        answer = client.post(url, headers=headers, content=pieces)
        step(status=answer.status_code, text=answer.text, version=answer.http_version)
    except httpx.HTTPError as error:
        step(status=0, text=repr(error))
