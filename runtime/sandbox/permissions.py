"""What a confined domain may still do, in plain values. The walls are made of nothing else."""

from __future__ import annotations

__all__ = ["Permissions"]

from dataclasses import dataclass
from pathlib import Path

from runtime.errors import SpecificationError

_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """What one domain may still do once it is confined.

    The host makes it of the table's row and of the capabilities granted in the domain. Whatever is
    not named here is refused by the kernel. Raises SpecificationError for a port that is none, and
    for a mixture that no wall could hold.
    """

    read: tuple[Path, ...] = ()
    """Files, or folders with all below, that may be opened for reading."""
    write: tuple[Path, ...] = ()
    """Folders below which files and folders may be read, written, made, renamed and removed."""
    connect: tuple[int, ...] = ()
    """TCP ports, of any host, that may be connected to."""
    listen: tuple[int, ...] = ()
    """TCP ports of this machine that may be bound and listened to."""
    resolve: bool = False
    """Whether UDP sockets may be made and sent with, to look up names. The kernel cannot hold them
    to name servers: who may resolve can send a little to anybody."""
    packets: bool = False
    """Whether packet sockets may be made, bound and received from. They are never sent with."""
    devices: tuple[Path, ...] = ()
    """Device nodes (a camera's, a GPU's) that may be opened, controlled and mapped."""
    links: tuple[int, ...] = ()
    """Descriptors of connected stream sockets to send and receive with: the border's, the host's.
    They stay open whatever the domain does; who confined the domain closes them."""
    wakeups: tuple[int, ...] = ()
    """Descriptors of the sockets by which trio loops are woken: one byte at a time may be sent.
    Those of the loop that runs where ``confine_thread`` is called are added by itself."""

    def __post_init__(self) -> None:
        for port in (*self.connect, *self.listen):
            if not 1 <= port <= _HIGHEST_PORT:
                raise SpecificationError(
                    f"TCP port {port} can't be granted: a port is between 1 and {_HIGHEST_PORT}, "
                    "and 0 would stand for any"
                )
        if self.packets and (self.write or self.uses_sockets):
            raise SpecificationError(
                "a domain with a packet socket may have no other network and no folder to write "
                "to: what sends or writes there would send on the packet socket as well"
            )

    @property
    def opens_files(self) -> bool:
        """Whether any file, folder or device may be opened."""
        return bool(self.read or self.write or self.devices)

    @property
    def uses_sockets(self) -> bool:
        """Whether sockets may be made that can send."""
        return bool(self.connect or self.listen or self.resolve)

    @property
    def opens_nothing(self) -> bool:
        """Whether no descriptor can come to exist in the domain after it has been confined."""
        return not (self.opens_files or self.uses_sockets or self.packets)
