"""Actors: what an integrator writes.

    class DoorCounter(Actor, domain=Domain.PUBLIC):
        \"\"\"Adds up what several doors report.\"\"\"

        reports: Inlet[DoorReport] = inlet(capacity=16)
        totals: Outlet[DoorTotal]
        store: Needs[StatisticsStore]
        settings: DoorSettings
        doors_seen: Reading

        async def run(self) -> None:
            async for report in self.reports:
                self.doors_seen.add()
                await self.totals.send(DoorTotal(...))

Annotations declare; the host fills them in before ``start`` is called. A class that asks for what
the table of domains does not allow is refused where it is defined.
"""

from __future__ import annotations

__all__ = [
    "READING_MAX",
    "Actor",
    "ActorDeclaration",
    "InletDeclaration",
    "NeedDeclaration",
    "OutletDeclaration",
    "Reading",
    "Settings",
    "inlet",
    "outlet",
    "reading",
]

import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
import structlog

from runtime.capability import NEED, Capability
from runtime.channel import BLOCK, Inlet, Outlet, Overflow
from runtime.domain import TABLE, Domain
from runtime.errors import DeclarationError
from runtime.histogram import Histogram
from runtime.inlets import Inlets
from runtime.message import Message, Sensitivity, why_unbounded
from runtime.workers import run_blocking

T = TypeVar("T")

READING_MAX = 2**53
"""What every JSON reader keeps exactly."""
READING_BITS = math.log2(READING_MAX + 1)
"""How much one reading can say each time it is shown."""

_USUAL_RATE = 32.0
"""Messages a second out of a domain with personal data: more than cameras take pictures."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of an actor's settings: what ``[actors.NAME.settings]`` may hold.

    Raise ValueError in ``__post_init__`` for what the types cannot say.
    """

    published: ClassVar[tuple[str, ...]] = ()
    """Names of the settings that the public notice may show."""
    words: ClassVar[tuple[str, ...]] = ()
    """Names of the settings whose texts may stand in the ledger where an entry takes a ``Word``:
    the names of roles, such as a manager's, and never of people."""

    @classmethod
    def why_refused(cls, key: str) -> str:
        """For a key that does not exist because it must not: the rule that forbids what it asks
        for. Empty for any other."""
        return ""

    def headline(self) -> str:
        """What is configured, in a few words without secrets, for status and graph."""
        return ""

    def misfits(self, places: Collection[str], actors: Mapping[str, str]) -> Iterable[str]:
        """What these settings name and the rest of the configuration has not, each in words that a
        finding begins with: "it names the place 'hall', which is not declared". ``places`` are the
        declared ones, ``actors`` tells each actor's place."""
        return ()


class NoSettings(Settings, frozen=True, kw_only=True):
    """For actors that have nothing to set."""


class Reading:
    """A bounded whole number that an actor shows in ``smartpole status``.

    It is a number and nothing else, so that a reading cannot carry what may not leave a domain.
    It outlives the actor's incarnations.
    """

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    @property
    def value(self) -> int:
        return self._value

    def set(self, value: int) -> None:
        self._value = max(0, min(int(value), READING_MAX))

    def add(self, amount: int = 1) -> None:
        self.set(self._value + amount)


@dataclass(frozen=True, slots=True)
class InletDeclaration:
    """An inlet's message type and what its queue does; configuration may change the latter."""

    message: type[Message] = Message
    capacity: int = 64
    overflow: Overflow = BLOCK
    manual_acknowledge: bool = False
    each_sender: bool = False
    """Each sender has a queue of its own: an ``Inlets``."""
    one_sender: bool = False
    """The messages make sense only as one sender's sequence, such as a camera's packets."""


@dataclass(frozen=True, slots=True)
class OutletDeclaration:
    """An outlet's message type, and how often it may send; configuration may lower the latter."""

    message: type[Message] = Message
    per_second: float | None = None
    """Messages a second at most; None where nothing bounds them."""
    optional: bool = False
    """Declared as ``Outlet[M] | None``: it may lead nowhere, and the actor finds None then."""


@dataclass(frozen=True, slots=True)
class NeedDeclaration:
    capability: type[Capability]


@dataclass(frozen=True, slots=True)
class _ReadingDeclaration:
    vital: bool = False


@dataclass(frozen=True, slots=True)
class ActorDeclaration:
    """What an actor class declares, read from its annotations."""

    domain: Domain
    inlets: Mapping[str, InletDeclaration] = field(default_factory=dict)
    outlets: Mapping[str, OutletDeclaration] = field(default_factory=dict)
    needs: Mapping[str, NeedDeclaration] = field(default_factory=dict)
    readings: Mapping[str, bool] = field(default_factory=dict)
    """Name → whether it must be above zero for the actor to count as having worked."""
    histograms: tuple[str, ...] = ()
    settings: type[Settings] = NoSettings


def inlet(
    *,
    capacity: int = 64,
    overflow: Overflow = BLOCK,
    acknowledge: Literal["next", "manual"] = "next",
    senders: Literal["any", "one"] = "any",
) -> Any:
    """Says how an inlet's queue behaves: ``packets: Inlet[Packet] = inlet(capacity=256)``."""
    return InletDeclaration(
        capacity=capacity,
        overflow=overflow,
        manual_acknowledge=acknowledge == "manual",
        one_sender=senders == "one",
    )


def outlet(*, per_second: float) -> Any:
    """Says how often an outlet may send: ``counts: Outlet[PictureCount] = outlet(per_second=2)``.

    Together with the message type it bounds what can leave by it, in bits a second. Where crowd
    information or facts of the machine leave a domain that handles personal data and nothing is
    said, it is 32.
    """
    return OutletDeclaration(per_second=per_second)


def reading(*, vital: bool = False) -> Any:
    """Declares a reading; a vital one stays at zero only if the actor did none of its work."""
    return _ReadingDeclaration(vital=vital)


class Actor:
    """Base of all actors; see the module's example.

    The host calls ``start`` (within the start timeout), then ``run``, and in any case ``stop``
    (within the stop timeout, shielded from cancellation). ``run`` is over when it returns: a
    permanent actor is then started again. When the pole stops, an actor that has inlets finds
    their iteration ending once it has received everything; one that has none is cancelled.
    """

    declaration: ClassVar[ActorDeclaration]
    place: str
    """Name of the place that the blueprint gives this actor, or ""."""
    settings: Any
    log: structlog.typing.FilteringBoundLogger

    def __init__(self, bindings: Mapping[str, object]) -> None:
        """Called by the host alone, which binds every declared name."""
        self.__dict__.update(bindings)

    def __init_subclass__(cls, *, domain: Domain | None = None) -> None:
        super().__init_subclass__()
        if domain is None:
            inherited = getattr(cls, "declaration", None)
            if inherited is None:
                raise DeclarationError(
                    f"actor {cls.__name__} does not say in which domain it lives. Write class "
                    f"{cls.__name__}(Actor, domain=Domain...), one of "
                    f"{', '.join(one.name for one in Domain)}."
                )
            domain = inherited.domain
        cls.declaration = _read_declaration(cls, domain)
        _require_allowed(cls.__name__, cls.declaration)

    async def start(self) -> None:
        """Get ready. Raising here counts as a crash; ``Unrecoverable`` is not tried again."""

    async def run(self) -> None:
        """Do the work."""
        raise NotImplementedError(f"{type(self).__name__} has no run()")

    async def stop(self) -> None:
        """Leave things in order. Outlets still work; inlets give nothing more."""

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        """Run a function that blocks or computes for long, without holding up the domain.

        It cannot be abandoned: if the actor is cancelled, the call returns first.
        """
        return await run_blocking(function, *args)


def _read_declaration(cls: type[Actor], domain: Domain) -> ActorDeclaration:
    inlets: dict[str, InletDeclaration] = {}
    outlets: dict[str, OutletDeclaration] = {}
    needs: dict[str, NeedDeclaration] = {}
    readings: dict[str, bool] = {}
    histograms: list[str] = []
    settings: type[Settings] = NoSettings
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"actor {cls.__name__}: an annotation names {error.name!r}, which its module does not "
            "define. Define message types and capabilities at the module's top, before the actor."
        ) from None
    for name, hint in hints.items():
        hint, optional = _outlet_in(hint)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        default = inspect.getattr_static(cls, name, None)
        if origin is Inlet or origin is Inlets:
            given = default if isinstance(default, InletDeclaration) else InletDeclaration()
            inlets[name] = replace(
                given,
                message=_message_type(cls, name, arguments[0]),
                each_sender=origin is Inlets,
                one_sender=given.one_sender or origin is Inlets,
            )
        elif origin is Outlet:
            message = _message_type(cls, name, arguments[0])
            rate = default.per_second if isinstance(default, OutletDeclaration) else None
            rate = _rate(cls, name, domain, message, rate)
            outlets[name] = OutletDeclaration(message, rate, optional)
        elif NEED in getattr(hint, "__metadata__", ()):
            if not (isinstance(arguments[0], type) and issubclass(arguments[0], Capability)):
                raise DeclarationError(
                    f"actor {cls.__name__}: {name} needs {arguments[0]!r}, which is no capability. "
                    "Needs[...] takes a subclass of Capability."
                )
            needs[name] = NeedDeclaration(arguments[0])
        elif hint is Reading:
            readings[name] = isinstance(default, _ReadingDeclaration) and default.vital
        elif hint is Histogram:
            histograms.append(name)
        elif name == "settings" and hint is not Any:
            if not (isinstance(hint, type) and issubclass(hint, Settings)):
                raise DeclarationError(
                    f"actor {cls.__name__}: settings are declared as {hint!r}, and must be a "
                    "subclass of Settings."
                )
            settings = hint
    return ActorDeclaration(domain, inlets, outlets, needs, readings, tuple(histograms), settings)


def _outlet_in(hint: Any) -> tuple[Any, bool]:
    """Of ``Outlet[M] | None``, the outlet, and that it is optional; any other hint as it is."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        some = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(some) == 1 and typing.get_origin(some[0]) is Outlet:
            return some[0], True
    return hint, False


def _rate(
    cls: type[Actor], port: str, domain: Domain, message: type[Message], given: float | None
) -> float | None:
    if given is None:
        bounded = TABLE[domain].is_personal and message.sensitivity in (
            Sensitivity.AGGREGATE,
            Sensitivity.OPERATIONAL,
        )
        return _USUAL_RATE if bounded else None
    if not 0 < given < math.inf:
        raise DeclarationError(
            f"actor {cls.__name__}: outlet {port} sends {given} messages a second. Accepted: a "
            "number above 0, such as outlet(per_second=2)."
        )
    return float(given)


def _message_type(cls: type[Actor], port: str, candidate: object) -> type[Message]:
    if isinstance(candidate, type) and issubclass(candidate, Message):
        return candidate
    raise DeclarationError(
        f"actor {cls.__name__}: port {port} carries {candidate!r}, which is no message type. "
        "Inlet[...] and Outlet[...] take a subclass of Message."
    )


def _require_allowed(name: str, declaration: ActorDeclaration) -> None:
    """Hold an actor class against its domain's row of the table (guideline 5.1(1), 7.1(1))."""
    rule = TABLE[declaration.domain]
    where = f"actor {name} lives in domain {declaration.domain.value!r}"
    because = f"({rule.purpose}; guideline {rule.clauses})"
    for need, wanted in declaration.needs.items():
        kind = wanted.capability.kind
        if kind not in rule.holds:
            holders = (domain.value for domain, row in TABLE.items() if kind in row.holds)
            raise DeclarationError(
                f"{where} and may not need {wanted.capability.__name__} [{kind}], which it "
                f"declares as {need!r} {because}. This domain may hold: {_listing(rule.holds)}. "
                f"{kind} may be held in: {_listing(holders)}."
            )
    for port, out in declaration.outlets.items():
        if out.message.sensitivity not in rule.emits:
            raise DeclarationError(
                f"{where} and may not emit {out.message.__name__} "
                f"[{out.message.sensitivity.value}] by its outlet {port!r} {because}. "
                f"This domain may emit: {_listing(s.value for s in rule.emits)}."
            )
        if rule.is_personal and not out.message.sensitivity.is_personal:
            _require_bounded(f"{where}, which handles personal data,", because, port, out.message)
    for port, into in declaration.inlets.items():
        if into.message.sensitivity not in rule.takes:
            raise DeclarationError(
                f"{where} and may not take {into.message.__name__} "
                f"[{into.message.sensitivity.value}] by its inlet {port!r} {because}. "
                f"This domain may take: {_listing(s.value for s in rule.takes)}."
            )


def _require_bounded(where: str, because: str, port: str, message: type[Message]) -> None:
    """What says OPERATIONAL may hold any text, and so a picture too (guideline 4.2(3))."""
    if (why := why_unbounded(message)) is not None:
        raise DeclarationError(
            f"{where} and may not emit {message.__name__} [{message.sensitivity.value}] by its "
            f"outlet {port!r} {because}: {why}, so that personal data would fit in (guideline "
            f"4.2(3)). Accepted: fields that an AGGREGATE message may have, which are integers "
            "with both bounds, bool, enumerations, PlaceName and tuples of these with a max_length."
        )


def _listing(items: typing.Iterable[object]) -> str:
    return ", ".join(sorted(str(item) for item in items)) or "nothing"
