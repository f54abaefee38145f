"""Reading what a configuration says of an actor's ports."""

from __future__ import annotations

__all__ = ["names_of", "read_inlets", "read_outlets"]

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from runtime.actor import InletDeclaration, OutletDeclaration
from runtime.channel import Overflow
from runtime.config import Document, convert


class _InletTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    capacity: int | None = None
    overflow: Overflow | None = None


class _OutletTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    per_second: float | None = None


def read_inlets(
    document: Document,
    at: tuple[str, ...],
    type_name: str,
    given: Mapping[str, Any],
    declared: Mapping[str, InletDeclaration],
) -> Mapping[str, InletDeclaration]:
    """What the configuration makes of an actor type's inlets; mistakes are noted."""
    inlets = dict(declared)
    for port, wanted in given.items():
        if port not in inlets:
            document.problem(
                (*at, "inlets", port),
                f"actor type {type_name!r} has no inlet {port!r}",
                names_of("inlet", inlets),
            )
            continue
        override = convert(document, wanted, (*at, "inlets", port), _InletTable)
        if override is None:
            continue
        if override.capacity is not None and override.capacity < 1:
            document.problem((*at, "inlets", port, "capacity"), "it must be at least 1")
            continue
        inlets[port] = replace(
            inlets[port],
            capacity=override.capacity or inlets[port].capacity,
            overflow=override.overflow or inlets[port].overflow,
        )
    return inlets


def read_outlets(
    document: Document,
    at: tuple[str, ...],
    type_name: str,
    given: Mapping[str, Any],
    declared: Mapping[str, OutletDeclaration],
) -> Mapping[str, OutletDeclaration]:
    """The same for its outlets."""
    outlets = dict(declared)
    for port, wanted in given.items():
        here = (*at, "outlets", port)
        if port not in declared:
            document.problem(
                here,
                f"actor type {type_name!r} has no outlet {port!r}",
                names_of("outlet", declared),
            )
            continue
        override = convert(document, wanted, here, _OutletTable)
        if override is None or override.per_second is None:
            continue
        rate, most = override.per_second, declared[port].per_second
        # Written so that it refuses "not a number", too.
        if not 0 < rate <= (math.inf if most is None else most) or rate == math.inf:
            document.problem(
                (*here, "per_second"),
                f"{rate:g} messages a second can't be set: a configuration may only lower the rate "
                "of an outlet, to a number above 0 that is not above the actor type's own",
                "a number above 0" + ("" if most is None else f", {most:g} at most"),
            )
            continue
        outlets[port] = replace(declared[port], per_second=rate)
    return outlets


def names_of(kind: str, names: Any) -> str:
    """What is accepted where the name of a port or actor is not known."""
    return "one of " + ", ".join(sorted(names)) if names else f"it has no {kind} at all"
