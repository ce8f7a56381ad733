"""Ending tasks for certain.

In Python 3.11 `asyncio.wait_for`, which the MongoDB driver uses for every command, swallows a
cancellation that arrives in the same turn of the loop as the result. Whoever waits for a cancelled
task must therefore be ready to cancel it again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 1.0


async def end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel tasks until all of them have ended; their results are left alone."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
