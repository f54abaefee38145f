"""What a running pole says of itself: to ``smartpole status``, to the live view, to the summary."""

from __future__ import annotations

__all__ = ["ActorStatus", "DomainStatus", "FolderStatus", "LedgerStatus", "PoleStatus"]

import msgspec

from runtime.channel import ChannelStatistics
from runtime.histogram import HistogramStatistics
from runtime.supervisor import CrashRecord


class ActorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One actor: its place in the house, its life, its queues and its readings."""

    name: str
    type_name: str
    domain: str
    headline: str
    """What is configured, in a few words."""
    state: str
    incarnation: int
    restarts: int
    crashes: int
    last_crash: CrashRecord | None
    inlets: tuple[ChannelStatistics, ...]
    readings: dict[str, int]
    """Bounded numbers by name, such as ``segments_written``."""
    idle: tuple[str, ...]
    """Vital readings that are still zero: work that the actor has not done yet."""
    histograms: dict[str, HistogramStatistics] = {}
    """Durations by name, such as ``erased_after``."""


class FolderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in one storage folder, and who may do what there."""

    scope: str
    holders: tuple[str, ...]
    """Actor, capability and rights, one text each."""
    files: int
    size: int
    """Bytes."""


class DomainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One domain: where it lives, and which walls stand around it."""

    name: str
    state: str
    incarnation: int
    restarts: int
    process: int
    thread: int | None
    """The kernel's id of its thread; None where it is a process."""
    landlock_abi: int
    """Version of the kernel's Landlock that holds it; 0 for none."""
    seccomp: bool
    missing: tuple[str, ...]
    """Walls that do not stand, in plain words."""
    attempts: int
    """Times that the audit hook saw an actor try what its domain may not do."""
    reports_dropped: int
    """Log lines and other reports that were too many to be written, or that the pole was too busy
    to hear."""


class LedgerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a running pole's ledger is."""

    size: int
    """Entries, when the pole last wrote."""
    waiting: int
    """Entries of the pole that are not written yet."""
    dropped: int
    """Entries of the pole that were too many to wait, and are lost."""
    trouble: str
    """Why the last attempt failed; empty where it did not."""


class PoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A whole pole at one moment."""

    name: str
    process: int
    unix_time: float
    uptime: float
    """Seconds."""
    isolation: str
    """How domains are kept apart in this run, in plain words."""
    blueprint: str
    """SHA-256 of the configuration."""
    domains: tuple[DomainStatus, ...] = ()
    """Empty where all run in one loop."""
    ledger: LedgerStatus | None = None
    """None where the blueprint grants nobody a ledger, so that the pole keeps none."""
    actors: tuple[ActorStatus, ...]
    folders: tuple[FolderStatus, ...]
    without_storage: tuple[str, ...]
    """Actors that hold no storage capability at all."""

    @property
    def working(self) -> bool:
        """Whether every actor runs (or was stopped with the pole), never crashed, and has done
        what it is there for."""
        return all(
            actor.state in ("running", "stopped") and not actor.crashes and not actor.idle
            for actor in self.actors
        )
