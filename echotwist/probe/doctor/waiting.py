"""
Run coroutines of a check at the same time.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import FirstError, ensureDeferred, gatherResults

from echotwist.probe.doctor.findings import Wrong

_Result = TypeVar("_Result")


async def together(*coroutines: Coroutine[Any, Any, _Result]) -> list[_Result]:
    """
    Run coroutines at the same time; if one fails, cancel the others.

    :return: their results.
    """
    running = [ensureDeferred(one) for one in coroutines]
    try:
        return list(await gatherResults(running, consumeErrors=True))
    except FirstError as error:
        error.subFailure.raiseException()
        raise  # Never: the line before raises.
    finally:
        for one in running:
            one.addErrback(lambda _: None)
            one.cancel()


async def apart(*coroutines: Coroutine[Any, Any, object]) -> list[Wrong | None]:
    """
    Run coroutines at the same time, each to its end, even if others fail.

    :return: the fault that each found; ``None`` for no fault.
    """
    ended = await gatherResults([ensureDeferred(_faultOf(one)) for one in coroutines])
    return list(ended)


async def _faultOf(one: Coroutine[Any, Any, object]) -> Wrong | None:
    try:
        await one
    except Wrong as error:
        return error
    return None
