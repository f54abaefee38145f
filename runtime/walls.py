"""A domain's walls: its row of the table and its capabilities, as the kernel is told of them."""

from __future__ import annotations

__all__ = ["domain_permissions", "usual_events"]

import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.blueprint import ActorPlan
from runtime.capability import Capability, Reach
from runtime.domain import TABLE, Domain
from runtime.errors import DeclarationError, SmartpoleError
from runtime.sandbox import Permissions

_FOR_NAMES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
)
_OF_FILES = ("open", "os.", "fcntl.", "glob.", "pathlib.", "shutil.", "sqlite3.", "tempfile.")
_OF_SOCKETS = ("socket.",)


def domain_permissions(
    domain: Domain, plans: Sequence[ActorPlan], *, state: Path, links: tuple[int, ...]
) -> Permissions:
    """What this domain may still do: its row of the table, as its capabilities need it.

    ``state`` is the pole's state folder, ``links`` the descriptors of its border and control
    link. Raises DeclarationError where a capability reaches for more than its kind.
    """
    rule = TABLE[domain]
    read: set[Path] = set()
    write: set[Path] = set()
    connect: set[int] = set()
    listen: set[int] = set()
    devices: set[Path] = set()
    resolve = packets = False
    for plan in plans:
        for capability in plan.needs.values():
            kind, reach = capability.kind, _reach(domain, plan, capability)
            network = reach.connect or reach.listen or reach.resolve
            if (
                kind not in rule.holds
                or (network and kind.kind != "network")
                or (reach.packets and kind.kind != "sensing")
            ):
                raise DeclarationError(
                    f"{capability.__name__} [{kind}] of actor {plan.name!r} reaches for more "
                    f"than domain {domain.value!r} lets it have "
                    f"(guideline {rule.clauses})."
                )
            read.update(reach.read)
            connect.update(reach.connect)
            listen.update(reach.listen)
            devices.update(reach.devices)
            resolve, packets = resolve or reach.resolve, packets or reach.packets
            if kind.kind == "storage":
                write.add(state / kind.scope)
    if read or write or connect or listen:
        # A domain that has files or sockets at all may also load what its libraries load late.
        read.update(_program_folders())
        read.update(_package_folder(plan.actor_type) for plan in plans)
        read.add(_package_folder(Permissions))
    if resolve:
        read.update(map(Path, _FOR_NAMES))
    return Permissions(
        read=tuple(sorted(read)),
        write=tuple(sorted(write)),
        connect=tuple(sorted(connect)),
        listen=tuple(sorted(listen)),
        resolve=resolve,
        packets=packets,
        devices=tuple(sorted(devices)),
        links=links,
    )


def _reach(domain: Domain, plan: ActorPlan, capability: type[Capability]) -> Reach:
    """What the capability says that it reaches, if walls can be made of it."""
    who = f"{capability.__name__} [{capability.kind}] of actor {plan.name!r}"
    where = f"so the walls of domain {domain.value!r} can't be made"
    try:
        reach: object = capability.reach(plan.settings)
    except SmartpoleError as error:
        raise DeclarationError(f"{who} can't say what it reaches, {where}: {error}") from error
    except Exception as error:
        # Not its text: settings, which a library's error may quote, can hold a password.
        raise DeclarationError(
            f"{who} can't say what it reaches, {where}: its reach() raised "
            f"{type(error).__name__} for the settings of [actors.{plan.name}]."
        ) from error
    if not isinstance(reach, Reach):
        raise DeclarationError(
            f"{who} can't say what it reaches, {where}: its reach() returned a "
            f"{type(reach).__name__}. Accepted: a Reach."
        )
    try:
        Permissions(connect=reach.connect, listen=reach.listen)
    except SmartpoleError as error:
        raise DeclarationError(
            f"{who} asks for what can't be granted, {where}: {error}."
        ) from error
    return reach


def usual_events(permissions: Permissions) -> tuple[str, ...]:
    """Audit events that are no attempt, in a domain that is there for what they announce."""
    usual: tuple[str, ...] = (
        "gc.",
        "sys._current_frames",
        "ctypes.addressof",
        "ctypes.cdata",
        "mmap.",
    )
    if permissions.opens_files:
        usual += _OF_FILES
    if permissions.uses_sockets or permissions.packets:
        usual += _OF_SOCKETS
    return usual


def _package_folder(kind: type) -> Path:
    """Where the package of a class lies: an editable install's is not on the search path."""
    module = sys.modules[kind.__module__.partition(".")[0]]
    return Path(module.__file__ or sys.prefix).resolve().parent


def _program_folders() -> set[Path]:
    folders = {Path(entry or ".").resolve() for entry in sys.path}
    folders |= {Path(sys.prefix), Path(sys.base_prefix) / "lib", Path("/usr/share/zoneinfo")}
    return {folder for folder in folders if folder.exists() and folder != Path("/")}
