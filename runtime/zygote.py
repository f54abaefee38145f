"""The zygote: a process that has everything loaded and starts domains by forking itself.

Used where each domain is a process of its own. A fresh interpreter takes a second to load what a
domain needs; a fork of one that has loaded it takes a few milliseconds, and shares its memory. The
zygote runs no actor, has one thread, and never receives anything personal: it only forks. It ends,
and its children with it, when the pole does.
"""

from __future__ import annotations

__all__ = ["Birth", "Death", "Fork", "Ready", "ZygoteOrder", "main"]

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import trio

from runtime.actor import Actor
from runtime.blueprint import Blueprint, Isolation, load_blueprint
from runtime.domain import Domain
from runtime.errors import SmartpoleError
from runtime.host import DomainOrder, live
from runtime.log import configure_logging
from runtime.memory import share_one_heap
from runtime.sandbox import harden_process, hide_command_line

_LONGEST = 128 * 1024
_MOST_ENDS = 250
_FAILED = 70
"""Exit status of a domain that ended by an exception; see sysexits.h, EX_SOFTWARE."""


class ZygoteOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What the pole tells the zygote first."""

    configuration: str
    digest: str
    """SHA-256 of the configuration: it must not have changed since the pole read it."""
    types: dict[str, str] | None
    """Actor types as ``module:name``; None for the installed ones."""
    search_path: tuple[str, ...]
    log_level: str
    best_effort: bool
    confined: bool


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything is loaded; or why not."""

    failure: str = ""


class Fork(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a domain. Its control link, and its ends of these channels, come along."""

    domain: str
    channels: tuple[int, ...]


class Birth(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A domain's process has started."""

    domain: str
    process: int


class Death(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A domain's process has ended: its exit status, or minus the signal that ended it."""

    process: int
    status: int


def main(descriptor: int) -> None:
    """Serve the pole at the other end of this socket until it is gone."""
    pole = socket.socket(fileno=descriptor)
    order = msgspec.json.decode(pole.recv(_LONGEST), type=ZygoteOrder)
    sys.path[:] = order.search_path
    # Ctrl-C goes to the whole group of processes, and a service manager's SIGTERM may: the pole
    # alone decides when to stop. Children inherit it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logging(order.log_level)
    share_one_heap()
    try:
        blueprint = _load(order)
    except (SmartpoleError, ImportError, AttributeError) as error:
        pole.send(msgspec.json.encode(Ready(failure=str(error)[:4000])))
        return
    harden_process()
    gc.collect()
    gc.freeze()  # or the first collection in each child would copy all of it
    pole.send(msgspec.json.encode(Ready()))
    _serve(pole, blueprint, order)


def _load(order: ZygoteOrder) -> Blueprint:
    types: Mapping[str, type[Actor]] | None = None
    if order.types is not None:
        types = {name: _actor_type(place) for name, place in order.types.items()}
    blueprint = load_blueprint(Path(order.configuration), types)
    if blueprint.digest != order.digest:
        raise SmartpoleError(
            f"{order.configuration} has changed since this pole read it. Start the pole again."
        )
    return blueprint


def _actor_type(place: str) -> type[Actor]:
    module, _, name = place.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, type)
    assert issubclass(found, Actor)
    return found


def _serve(pole: socket.socket, blueprint: Blueprint, order: ZygoteOrder) -> None:
    children: dict[int, int] = {}
    """Descriptor of each child → its process."""
    try:
        _obey(pole, children, blueprint, order)
    except ConnectionError:
        pass  # the pole has gone in the middle of a word
    finally:
        for process in children.values():
            os.kill(process, signal.SIGKILL)


def _obey(
    pole: socket.socket, children: dict[int, int], blueprint: Blueprint, order: ZygoteOrder
) -> None:
    """Until the pole has hung up."""
    with selectors.DefaultSelector() as selector:
        selector.register(pole, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd != pole.fileno():
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _bury(pole, children.pop(key.fd))
                    continue
                request, descriptors, _, _ = socket.recv_fds(pole, _LONGEST, _MOST_ENDS)
                if not request:
                    return
                fork = msgspec.json.decode(request, type=Fork)
                process = _fork(pole, fork, descriptors, blueprint, order)
                descriptor = os.pidfd_open(process)
                children[descriptor] = process
                selector.register(descriptor, selectors.EVENT_READ)
                pole.send(msgspec.json.encode(Birth(domain=fork.domain, process=process)))


def _bury(pole: socket.socket, process: int) -> None:
    _, status = os.waitpid(process, 0)
    pole.send(msgspec.json.encode(Death(process=process, status=os.waitstatus_to_exitcode(status))))


def _fork(
    pole: socket.socket,
    fork: Fork,
    descriptors: list[int],
    blueprint: Blueprint,
    order: ZygoteOrder,
) -> int:
    process = os.fork()
    if process:
        for descriptor in descriptors:
            os.close(descriptor)
        return process
    status = _FAILED
    try:
        # Not this one's: nobody but the zygote speaks with the pole on it.
        os.close(pole.detach())
        _close_others(descriptors)
        hide_command_line()
        control, *ends = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        trio.run(
            live,
            DomainOrder(
                blueprint=blueprint,
                domain=Domain(fork.domain),
                control=control,
                ends=dict(zip(fork.channels, ends, strict=True)),
                best_effort=order.best_effort,
                confined=order.confined,
                isolation=Isolation.PROCESS,
            ),
        )
        status = 0
    finally:
        # Not exit: what the zygote would do at its end is none of the child's business.
        os._exit(status)


def _close_others(mine: list[int]) -> None:
    """Close every descriptor but the standard streams and this domain's own: siblings' pidfds, the
    selector, whatever the zygote inherited."""
    before = 2
    for descriptor in (*sorted(mine), 2**20):
        os.closerange(before + 1, descriptor)
        before = descriptor


if __name__ == "__main__":
    main(int(sys.argv[1]))
