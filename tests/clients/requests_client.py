"""requests in a sandbox."""

import requests
from steps import step

API = "https://api.test"
session = requests.Session()

got = session.get(f"{API}/get", params={"a": "1"}, headers={"Authorization": "Bearer placeholder"})
got.raise_for_status()
step(get=got.json())

posted = session.post(f"{API}/anything", json={"text": "ä"})
posted.raise_for_status()
step(post=posted.json())

# A generator is sent chunked: requests cannot know its length.
uploaded = session.put(f"{API}/upload", data=(b"x" * 65536 for _ in range(64)))
uploaded.raise_for_status()
step(upload=uploaded.json()["body_bytes"])

with session.get(f"{API}/sse", stream=True) as events:
    events.raise_for_status()
    for line in events.iter_lines(chunk_size=1):
        if line.startswith(b"data: "):
            step(event=line.decode())

refused = session.delete(f"{API}/get")
step(status=refused.status_code, reason=refused.reason, problem=refused.json())
try:
    refused.raise_for_status()
except requests.HTTPError as error:
    step(denied=str(error))
