"""aiohttp in a sandbox; it reads the proxy from the environment only if told so."""

import asyncio

import aiohttp
from steps import step

API = "https://api.test"


async def pieces():
    for _ in range(64):
        yield b"x" * 65536


async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        placeholder = {"Authorization": "Bearer placeholder"}
        async with session.get(f"{API}/get?a=1", headers=placeholder) as got:
            got.raise_for_status()
            step(get=await got.json())
        async with session.post(f"{API}/anything", json={"text": "ä"}) as posted:
            posted.raise_for_status()
            step(post=await posted.json())
        async with session.put(f"{API}/upload", data=pieces()) as uploaded:
            uploaded.raise_for_status()
            step(upload=(await uploaded.json())["body_bytes"])
        async with session.get(f"{API}/sse") as events:
            events.raise_for_status()
            async for line in events.content:
                if line.startswith(b"data: "):
                    step(event=line.decode().rstrip())
        async with session.delete(f"{API}/get") as refused:
            problem = await refused.json(content_type="application/problem+json")
            step(status=refused.status, reason=refused.reason, problem=problem)
            try:
                refused.raise_for_status()
            except aiohttp.ClientResponseError as error:
                step(denied=str(error))


asyncio.run(main())
