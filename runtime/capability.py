"""Capabilities: the only way in which an actor reaches anything outside its own memory.

An actor declares what it needs; the blueprint grants it; the host mints the handle for one
incarnation of that actor and closes it when the incarnation ends. Nobody else can make one:

    class RecordingStore(Capability, kind=Storage("security"), rights="append segments"):
        def __init__(self, authority: Authority) -> None:
            self._folder = authority.folder
"""

from __future__ import annotations

__all__ = [
    "NEED",
    "Authority",
    "Capability",
    "CapabilityKind",
    "Commons",
    "Facts",
    "Models",
    "Needs",
    "Network",
    "NoPublicConstructor",
    "Reach",
    "Sensing",
    "Storage",
]

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from runtime.errors import CapabilityForged, DeclarationError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CapabilityKind:
    """What a capability reaches, in the words of the table of domains: a kind and its scope."""

    kind: str
    scope: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.scope}"


def Storage(scope: str) -> CapabilityKind:
    """A folder of that name below the pole's state folder."""
    return CapabilityKind("storage", scope)


def Network(scope: str) -> CapabilityKind:
    """Peers or a port on the network."""
    return CapabilityKind("network", scope)


def Sensing(scope: str) -> CapabilityKind:
    """A receiver that listens to what devices send by themselves."""
    return CapabilityKind("sensing", scope)


def Models(scope: str) -> CapabilityKind:
    """The bytes of verified models, read before the actor runs."""
    return CapabilityKind("models", scope)


def Facts(scope: str) -> CapabilityKind:
    """What the pole knows of itself."""
    return CapabilityKind("facts", scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a capability does of its own outside its memory once its domain is confined.

    The domain's kernel sandbox is made of the reach of what is granted in it, and of nothing else.
    A storage capability's folder is part of it without being named.
    """

    read: tuple[Path, ...] = ()
    """Files, or folders with all below, that are opened for reading."""
    connect: tuple[int, ...] = ()
    """TCP ports, of any host, that are connected to."""
    listen: tuple[int, ...] = ()
    """TCP ports of this machine that are served."""
    resolve: bool = False
    """Whether names of hosts are looked up, which takes UDP."""
    packets: bool = False
    """Whether a packet socket is opened, to receive from and never to send."""
    devices: tuple[Path, ...] = ()
    """Device nodes that are opened for reading, writing and control."""


class NoPublicConstructor(type):
    """Metaclass of handles: calling the class is refused, only ``_mint`` makes one."""

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        raise CapabilityForged(
            f"{cls.__name__} has no public constructor: a handle is granted by the blueprint, "
            "never made. Declare the need or port in the actor and grant it in the configuration."
        )

    def _mint(cls: type[T], *args: object, **kwargs: object) -> T:
        return type.__call__(cls, *args, **kwargs)  # type: ignore[no-any-return]


class Commons:
    """What capabilities of one domain hold together, so that it is there once however many actors
    are granted them. Nothing in it crosses a border: it lives and dies with the domain's host.

    Its methods may be called from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Hashable, tuple[Any, int]] = {}

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """What lies under ``key``; made if nobody holds it, while whoever else asks waits."""
        with self._lock:
            thing, holders = self._held.get(key) or (make(), 0)
            self._held[key] = thing, holders + 1
        held: T = thing
        return held

    def give_back(self, key: Hashable) -> None:
        """One holder less: after the last, the next to ask finds it made anew."""
        with self._lock:
            thing, holders = self._held.pop(key)
            if holders > 1:
                self._held[key] = thing, holders - 1


class Authority(metaclass=NoPublicConstructor):
    """What a capability may be made from: handed by the host to the capability it mints.

    ``folder`` is the storage folder of the capability's kind (None for other kinds),
    ``settings`` the validated settings of the actor it is granted to, ``facts`` the
    descriptions of the pole by scope, for capabilities of the kind ``Facts``, ``prepared`` what
    ``Capability.prepare`` returned, and ``commons`` what the domain's capabilities hold together.
    """

    __slots__ = ("actor", "commons", "facts", "folder", "prepared", "settings")

    def __init__(
        self,
        *,
        actor: str,
        folder: Path | None,
        settings: object,
        facts: Mapping[str, object],
        prepared: object = None,
        commons: Commons | None = None,
    ) -> None:
        self.actor = actor
        self.folder = folder
        self.settings = settings
        self.facts = facts
        self.prepared = prepared
        self.commons = commons or Commons()

    def require_folder(self) -> Path:
        """The storage folder, made with mode 0700 where it does not exist yet."""
        if self.folder is None:
            raise DeclarationError(f"the capability granted to {self.actor} has no folder")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder


class Capability(metaclass=NoPublicConstructor):
    """Base of all capabilities. State ``kind=`` and, in a few words, ``rights=``."""

    kind: ClassVar[CapabilityKind]
    rights: ClassVar[str]

    def __init_subclass__(
        cls, *, kind: CapabilityKind | None = None, rights: str | None = None
    ) -> None:
        super().__init_subclass__()
        if kind is not None:
            cls.kind = kind
        if rights is not None:
            cls.rights = rights
        if not hasattr(cls, "kind") or not hasattr(cls, "rights"):
            raise DeclarationError(
                f"capability {cls.__name__} does not say what it reaches. Write class "
                f'{cls.__name__}(Capability, kind=Storage("..."), rights="...").'
            )

    @classmethod
    def reach(cls, settings: Any) -> Reach:
        """What an actor with these settings makes of it in the kernel. Nothing by default."""
        return Reach()

    @classmethod
    def prepare(cls, authority: Authority) -> object:
        """Called once in each life of a domain, before its walls stand, and never again.

        For what no confined domain may do: reading models, for instance. Each incarnation of the
        actor finds the result in ``authority.prepared``. What it raises is raised for each of
        them where the capability would be minted; only here may an error's text hold more than
        fixed words, because nothing personal has been received yet.
        """
        return None

    def __init__(self, authority: Authority) -> None:
        """Subclasses open here what they reach; they may raise ``Unrecoverable``."""

    def close(self) -> None:
        """Give back what was opened. Called once, when the incarnation that held it has ended."""


C = TypeVar("C", bound=Capability)


class _NeedMarker:
    __slots__ = ()


NEED = _NeedMarker()

Needs = Annotated[C, NEED]
"""Declares a need in an actor: ``recordings: Needs[RecordingStore]``."""
