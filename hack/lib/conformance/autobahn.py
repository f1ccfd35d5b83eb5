"""Running the Autobahn cases."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable

SECONDS = 900


async def outcome(run: Awaitable[Any]) -> list[Any]:
    """The suite's results, whether or not some of the cases failed."""
    import kosoku

    try:
        return list(await asyncio.wait_for(run, SECONDS))
    except kosoku.FailureError as failure:
        return list(failure.results)
