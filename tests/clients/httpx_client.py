"""httpx in a sandbox, over the version of HTTP that the first argument names."""

import sys

import httpx
from steps import step

API = "https://api.test"

with httpx.Client(http2=sys.argv[1] == "2") as client:
    got = client.get(f"{API}/get?a=1", headers={"Authorization": "Bearer placeholder"})
    got.raise_for_status()
    step(get=got.json(), version=got.http_version)

    posted = client.post(f"{API}/anything", json={"text": "ä"})
    posted.raise_for_status()
    step(post=posted.json())

    uploaded = client.put(f"{API}/upload", content=(b"x" * 65536 for _ in range(64)))
    uploaded.raise_for_status()
    step(upload=uploaded.json()["body_bytes"])

    with client.stream("GET", f"{API}/sse") as events:
        events.raise_for_status()
        for line in events.iter_lines():
            if line.startswith("data: "):
                step(event=line)

    refused = client.delete(f"{API}/get")
    step(status=refused.status_code, reason=refused.reason_phrase, problem=refused.json())
    step(denied=refused.text)
