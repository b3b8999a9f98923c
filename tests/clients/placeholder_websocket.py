"""A WebSocket in a sandbox that sends what it is told to, in two fragments."""

import asyncio
import sys

import websockets
from steps import step


async def main():
    said = sys.argv[1]
    async with websockets.connect("wss://api.test/echo", compression=None) as socket:
        step(greeting=await socket.recv())
        await socket.send("hello")
        step(echo=await socket.recv())
        try:
            await socket.send([said[:7], said[7:]])
            step(after=await socket.recv())
        except websockets.ConnectionClosed as closed:
            step(closed=str(closed))


asyncio.run(main())
