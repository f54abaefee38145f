"""The capability to serve the notice: a listening socket, and nothing else of the network."""

from __future__ import annotations

__all__ = ["NoticePort", "NoticeSettings", "PortTaken", "explain"]

import errno
import ipaddress
import os
import socket
from typing import Annotated, ClassVar

import msgspec

from runtime import (
    Authority,
    Capability,
    Duration,
    Network,
    Reach,
    Settings,
    SmartpoleError,
    Unrecoverable,
)

_BACKLOG = 64
_UNREAD_MILLISECONDS = 4000
"""How long a client may leave what it was sent unread. The pole's stop must not wait for it."""


class PortTaken(SmartpoleError):
    """The notice's port is in use. A crash like any other, so it is tried again with backoff: a
    port may become free, most often when the pole before this one has ended."""


class NoticeSettings(Settings, frozen=True, kw_only=True):
    """Where the notice is served."""

    published: ClassVar[tuple[str, ...]] = ()

    host: str = "127.0.0.1"
    """An address of this machine. A web server of the operator's stands before it."""
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)] = 8460
    figures_every: Duration = Duration(60)
    """Between two looks at what was released, for the page of figures."""

    def __post_init__(self) -> None:
        if self.figures_every < 1:
            raise ValueError("Expected a time of at least 1s for figures_every")
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ValueError(
                'Expected an IP address of this machine for host, such as "127.0.0.1" or "::1"'
            ) from None

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def headline(self) -> str:
        return self.address


class NoticePort(Capability, kind=Network("notice"), rights="serve the public notice"):
    """A listening socket at the address that the actor's settings name.

    Raises PortTaken, or Unrecoverable where no retry can help, such as a port that this user may
    not open.
    """

    @classmethod
    def reach(cls, settings: NoticeSettings) -> Reach:
        """The notice's own port."""
        return Reach(listen=(settings.port,))

    def __init__(self, authority: Authority) -> None:
        settings = authority.settings
        assert isinstance(settings, NoticeSettings)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by each connection. Hypercorn shields its sends from cancellation, so a
            # client that stops reading could otherwise hold the pole's stop for ever.
            self._socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS
            )
            self._socket.setblocking(False)
            self._socket.bind((settings.host, settings.port))
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise explain(error, settings) from None

    def hand_over(self) -> str:
        """The socket as a ``fd://`` address, once, for a server that owns it from then on."""
        return f"fd://{self._socket.detach()}"

    def close(self) -> None:
        self._socket.close()


def explain(error: OSError, settings: NoticeSettings) -> SmartpoleError:
    """Why the port can't be opened, what to do, and (by its type) whether to try again."""
    where = f"the notice can't be served at {settings.address}"
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"{where}: port {settings.port} is in use by another program. Stop that program "
            f"(`ss -ltnp 'sport = :{settings.port}'` names it), or give the notice another port "
            "in its settings. It is tried again meanwhile."
        )
    if error.errno == errno.EACCES:
        return Unrecoverable(
            f"{where}: this user may not open port {settings.port}. Ports below 1024 are the "
            "administrator's: choose a higher one, with a web server before it."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return SmartpoleError(
            f"{where}: this machine has no address {settings.host} at the moment. Set host to one "
            "that it has. It is tried again meanwhile."
        )
    return SmartpoleError(f"{where}: {os.strerror(error.errno or 0)}.")
