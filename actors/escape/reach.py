"""Finding other domains' objects in the heap, as code that shares it can."""

from __future__ import annotations

__all__ = ["objects_of", "the_other_one", "thing"]

import gc
from typing import TypeVar

from actors.escape.attempt import NothingThere

T = TypeVar("T")


def objects_of(kind: type[T]) -> list[T]:
    """Every live object of exactly this type that the collector knows."""
    return [one for one in gc.get_objects() if type(one) is kind]


def thing(kind: type[T]) -> T:
    """One of them, or NothingThere."""
    found = objects_of(kind)
    if not found:
        raise NothingThere
    return found[0]


def the_other_one(kind: type[T], own: object) -> T:
    """One that isn't one's own, or NothingThere."""
    found = [one for one in objects_of(kind) if one is not own]
    if not found:
        raise NothingThere
    return found[0]
