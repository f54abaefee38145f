"""Everything of the judge's that hears: each kind of socket of this machine."""

from __future__ import annotations

__all__ = ["Listeners"]

import os
import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path

_USERSOCK = 2
_RIGHTS = 253


class Listeners:
    """Receives whatever comes, until it is closed. ``heard`` is by kind of socket."""

    def __init__(self, folder: Path, abstract: str) -> None:
        self.heard: dict[str, bytearray] = {}
        self.unix, self.datagram = folder / "stream.sock", folder / "datagram.sock"
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(self.unix))
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagram.bind(str(self.datagram))
        for path in (self.unix, self.datagram):
            os.chmod(path, 0o666)
        named = socket.socket(socket.AF_UNIX)
        named.bind("\0" + abstract)
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _USERSOCK)
        netlink.bind((0, 0))
        self.tcp: int = tcp.getsockname()[1]
        self.udp: int = udp.getsockname()[1]
        self.netlink: int = netlink.getsockname()[0]
        for one, kind in ((tcp, "TCP"), (unix, "Unix socket"), (named, "abstract socket")):
            one.listen()
            self._watch(one, kind, accepts=True)
        for one, kind in ((udp, "UDP"), (datagram, "Unix datagram"), (netlink, "netlink")):
            self._watch(one, kind, accepts=False)
        self._thread = threading.Thread(target=self._listen, name="listeners", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            one = key.fileobj
            self._selector.unregister(one)
            assert isinstance(one, socket.socket)
            one.close()
        self._selector.close()

    def _watch(self, one: socket.socket, kind: str, *, accepts: bool) -> None:
        one.setblocking(False)
        self.heard.setdefault(kind, bytearray())
        self._selector.register(one, selectors.EVENT_READ, (kind, accepts))

    def _listen(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.05):
                kind, accepts = key.data
                one = key.fileobj
                assert isinstance(one, socket.socket)
                with suppress(OSError):
                    if accepts:
                        self._watch(one.accept()[0], kind, accepts=False)
                    else:
                        self._hear(one, kind)

    def _hear(self, one: socket.socket, kind: str) -> None:
        data, ancillary, _, _ = one.recvmsg(65536, socket.CMSG_SPACE(_RIGHTS * 4))
        self.heard[kind] += data
        for _, _, rights in ancillary:
            for at in range(0, len(rights) - 3, 4):
                descriptor = int.from_bytes(rights[at : at + 4], "little")
                os.set_blocking(descriptor, False)
                with suppress(OSError):
                    self.heard[kind] += os.read(descriptor, 65536)
                os.close(descriptor)
        if not data and one.type == socket.SOCK_STREAM:
            self._selector.unregister(one)
            one.close()
