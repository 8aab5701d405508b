"""An agent that asks by the Model Context Protocol, and prints each answer on a line: `agent.py ADDRESS COOKIE`."""

from __future__ import annotations

import asyncio
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def ask(address: str, cookie: str) -> None:
    agent = streamablehttp_client(address, headers={"Cookie": cookie})
    async with agent as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()
        print(*[tool.name for tool in (await session.list_tools()).tools])
        for name, given in (("sets", {}), ("record", {"task": "fly"}), ("record", {"task": "pick_cube"})):
            heard = await session.call_tool(name, given)
            print(heard.content[0].text.replace("\n", " "))


asyncio.run(ask(*sys.argv[1:]))
