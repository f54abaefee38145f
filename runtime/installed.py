"""Which actor types are installed."""

from __future__ import annotations

__all__ = ["InstalledActorTypes"]

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from runtime.actor import Actor

_ACTOR_ENTRY_POINTS = "smartpole.actors"


class InstalledActorTypes(Mapping[str, type[Actor]]):
    """Every actor type that an installed package offers, ours and an integrator's alike.

    A type is imported when it is asked for, so that a pole loads only what it runs.
    """

    def __init__(self) -> None:
        self._points = {point.name: point for point in entry_points(group=_ACTOR_ENTRY_POINTS)}

    def __getitem__(self, name: str) -> type[Actor]:
        found: type[Actor] = self._points[name].load()
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._points  # without importing it

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)
