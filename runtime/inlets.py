"""An inlet of many senders, each with a queue of its own."""

from __future__ import annotations

__all__ = ["Inlets", "Sender", "queue_name"]

from collections.abc import Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

from runtime.capability import NoPublicConstructor
from runtime.channel import Inlet
from runtime.message import Message

M = TypeVar("M", bound=Message)


class Sender(NamedTuple):
    """Who sends, as the blueprint has it: no message can claim to come from somebody else."""

    name: str
    """The actor's."""
    place: str
    """The place that the blueprint gives it, or ""."""


class Inlets(Generic[M], metaclass=NoPublicConstructor):
    """Where an actor receives from any number of senders, whose messages make sense only as each
    one's own sequence, such as several cameras' packets:

        packets: Inlets[EncodedPacket] = inlet(capacity=1024)

        for sender, inlet in self.packets.items():
            nursery.start_soon(self._receive, sender, inlet)

    Each sender has a queue of its own, so that none waits for another, and acknowledges by itself.
    """

    __slots__ = ("_inlets",)

    def __init__(self, inlets: Mapping[Sender, Inlet[M]]) -> None:
        self._inlets = dict(inlets)

    def __iter__(self) -> Iterator[Sender]:
        return iter(self._inlets)

    def __len__(self) -> int:
        return len(self._inlets)

    def items(self) -> Iterator[tuple[Sender, Inlet[M]]]:
        """Each sender with the inlet of its messages, in the order of the configuration."""
        return iter(self._inlets.items())


def queue_name(inlet: str, sender: str) -> str:
    """What the queue of one sender is called."""
    return f"{inlet}[{sender}]"
