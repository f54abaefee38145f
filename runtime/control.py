"""The control socket: asking a running pole how it is, on this machine only.

A ZeroMQ socket below the pole's state folder, which only its owner may enter. A request is one
word, an answer is one JSON document.
"""

from __future__ import annotations

__all__ = ["ControlServer", "ask_status", "control_path"]

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
import trio
import zmq

from runtime.errors import PoleUnreachable
from runtime.status import PoleStatus
from runtime.zeromq import ZmqSocket

_log = structlog.get_logger("control")
_STATUS = b"status"


def control_path(state: Path) -> Path:
    """Where the control socket of a pole with this state folder lies."""
    return state / "run" / "control.sock"


class ControlServer:
    """Answers requests until it is cancelled (``runtime.specification.Child``)."""

    def __init__(self, state: Path, status: Callable[[], PoleStatus]) -> None:
        self._path = control_path(state)
        self._status = status

    async def serve(self, started: Callable[[], None]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ZmqSocket(zmq.ROUTER) as server:
            server.bind(f"ipc://{self._path}")
            os.chmod(self._path, 0o600)
            started()
            try:
                while True:
                    # A REQ peer sends its identity, an empty frame and the request.
                    identity, *_, request = await server.receive()
                    await server.send([identity, b"", self._answer(request)])
            finally:
                self._path.unlink(missing_ok=True)

    def finish(self) -> bool:
        return False

    def _answer(self, request: bytes) -> bytes:
        if request == _STATUS:
            return msgspec.json.encode(self._status())
        _log.warning("unknown request refused")
        return msgspec.json.encode({"error": "unknown request", "accepted": ["status"]})


async def ask_status(state: Path, timeout: float = 3.0) -> PoleStatus:  # noqa: ASYNC109
    """Ask the pole with this state folder. Raises PoleUnreachable where none answers."""
    path = control_path(state)
    try:
        path.stat()
    except FileNotFoundError:
        raise PoleUnreachable(
            f"no pole runs on {state}: its control socket does not exist. "
            "Start one with: smartpole run CONFIGURATION"
        ) from None
    except OSError as error:
        raise PoleUnreachable(
            f"the control socket of the pole on {state} can't be reached ({error.strerror}). "
            "Ask as the user that runs the pole."
        ) from None
    try:
        with trio.move_on_after(timeout), ZmqSocket(zmq.REQ) as client:
            client.connect(f"ipc://{path}")
            await client.send([_STATUS])
            answer = await client.receive()
            return msgspec.json.decode(answer[-1], type=PoleStatus)
    except (zmq.ZMQError, msgspec.MsgspecError) as error:
        raise PoleUnreachable(
            f"what answers on {path} is no pole of this version ({type(error).__name__})."
        ) from None
    raise PoleUnreachable(
        f"the pole on {state} did not answer within {timeout:g} s. It may have been killed "
        "(then its socket is stale: start it again), or its loop is stuck."
    )
