"""websockets in a sandbox; it takes the proxy and the CA from the environment."""

import asyncio

import websockets
from steps import step


async def main():
    async with websockets.connect("wss://api.test/echo", max_size=None) as socket:
        step(greeting=await socket.recv())
        await socket.send("hello")
        step(echo=await socket.recv())
        await socket.send(bytes(range(256)) * 4096)
        step(bytes=len(await socket.recv()))
    step(close_code=socket.close_code)

    try:
        async with websockets.connect("wss://api.test/other"):
            pass
    except websockets.InvalidStatus as error:
        response = error.response
        step(
            status=response.status_code,
            reason=response.reason_phrase,
            denied=response.body.decode(),
        )


asyncio.run(main())
