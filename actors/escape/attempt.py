"""What an attempt to get something out is, and what it is given to try with.

    @attempt("files")
    def open_and_write(scene: Scene) -> None:
        \"\"\"open() a new file and write.\"\"\"
        with open(scene.path, "wb") as file:
            file.write(scene.loot)

An attempt succeeds where its loot, or the effect that it names, is found outside its domain. What
it raises says only how it failed. It may return a function that undoes what it did to the heap,
which is called after other domains had time to run into it.
"""

from __future__ import annotations

__all__ = [
    "REGISTRY",
    "Attempt",
    "NothingThere",
    "Scene",
    "SceneSettings",
    "Undo",
    "attempt",
    "line_of",
    "loot_of",
]

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from runtime import Actor

Undo = Callable[[], object]
Function = Callable[["Scene"], "Undo | Awaitable[Undo | None] | None"]

_MAC_BYTES, _PIXEL_BYTES = 6, 48


class NothingThere(Exception):
    """What an attempt meant to steal is not within its reach."""


class SceneSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a hostile actor is told of the outside: everything that could help it."""

    attempts: tuple[int, ...] = ()
    """Numbers of the attempts to make, in this order."""
    seed: str = ""
    """All loot is derived of it, so that none stands in a file before an attempt puts it there."""
    run: str = ""
    """Names this run in whatever has a name of its own (shared memory, queues)."""
    drop: Path = Path()
    """A folder that this user may write to."""
    state: Path = Path()
    """The pole's state folder."""
    tcp: int = 0
    udp: int = 0
    unix: Path = Path()
    datagram: Path = Path()
    abstract: str = ""
    netlink: int = 0
    """Port identity of a socket of the kind NETLINK_USERSOCK."""
    victim: int = 0
    """Process of another program of the same user."""
    victim_address: int = 0
    """Where in its memory it keeps 64 bytes of its own."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to try."""

    name: str
    category: str
    summary: str
    function: Function
    number: int
    suites: frozenset[str]
    alone: bool = False
    """In a pole of its own: it may end the process, or changes what can't be undone."""
    ends: bool = False
    """It ends its actor or process if it works, so no outcome is waited for."""
    effect: str = ""
    """Which effect counts beside finding the loot: a name of ``effects.EFFECTS``."""
    canvas: int = 0
    """How many empty files it finds in its folder, to change their metadata."""
    needs: str = ""
    """What a kernel must have for it, by the name of a probe in ``effects.PROBES``."""
    measured: str = ""
    """It uses what is allowed: how much it carries is measured, by a name of
    ``measures.MEASURES``."""
    on_import: bool = False
    """It prepares something while its module is imported, before any wall stands."""
    limit: float = 3.0
    """Seconds."""
    linger: float = 0.03
    """Seconds in which other domains may run into what it did, before it is undone."""


REGISTRY: dict[str, Attempt] = {}
"""Every attempt by name; numbers count in the order of definition."""

_EVERYWHERE = frozenset({"crowd", "wifi", "capture"})


def attempt(
    category: str, *, only: str = "", alone: bool = False, ends: bool = False, **options: Any
) -> Callable[[Function], Function]:
    """Register an attempt. ``only`` names the one suite it belongs to; others run it everywhere,
    but for those that need a pole of their own, which run in the crowd domain."""

    def register(function: Function) -> Function:
        name = function.__name__
        if name in REGISTRY:
            raise ValueError(f"two attempts are called {name}")
        apart = alone or ends or options.get("on_import", False)
        suites = frozenset({only}) if only else frozenset({"crowd"}) if apart else _EVERYWHERE
        REGISTRY[name] = Attempt(
            name=name,
            category=category,
            summary=" ".join((function.__doc__ or "").split()),
            function=function,
            number=len(REGISTRY) + 1,
            suites=suites,
            alone=apart,
            ends=ends,
            **options,
        )
        return function

    return register


def loot_of(seed: str, name: str, suite: str) -> bytes:
    """What the attempt tries to get out: it stands for pixels, for a packet or for an address."""
    size = _MAC_BYTES if suite == "wifi" else _PIXEL_BYTES
    loot = bytearray(hashlib.blake2b(f"{suite}/{name}".encode(), key=seed.encode()).digest()[:size])
    loot[0] = loot[0] & 0xFC | 0x02  # a locally administered address of one device
    loot[1] |= 0x01  # no attempt's number is zero
    return bytes(loot)


def line_of(loot: bytes) -> int:
    """A number of seven digits made of the loot: one of six or fewer is within a log line's bound,
    which ``bits_in_words_of_the_log`` measures."""
    return int.from_bytes(loot[:3], "big") | 1 << 23


class Scene:
    """What one attempt works with."""

    def __init__(self, made: Attempt, suite: str, settings: SceneSettings, actor: Actor) -> None:
        self.name = made.name
        self.suite = suite
        self.settings = settings
        self.actor: Any = actor
        self.loot = loot_of(settings.seed, made.name, suite)
        self.text = self.loot.hex()
        self.path = settings.drop / f"{suite}-{made.name}"
        """A file that does not exist yet."""
        self.canvas = [
            settings.drop / f"{suite}-{made.name}.canvas-{n}" for n in range(made.canvas)
        ]

    def named(self) -> Path:
        """A path whose name is the loot."""
        return self.path.parent / f"{self.suite}-{self.text}"

    def write(self) -> None:
        """Plain and simple: a new file. For attempts that are about *where* this runs."""
        with open(self.path, "wb") as file:
            file.write(self.loot)

    def write_anywhere(self, *_: object, **__: object) -> None:
        """Wherever the one who runs this may write: for what another domain is led to call."""
        state = self.settings.state
        for place in (self.path, *(state / one / self.path.name for one in ("security", "public"))):
            with suppress(OSError):
                place.write_bytes(self.loot)
