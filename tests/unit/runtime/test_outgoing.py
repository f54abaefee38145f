"""Bytes into a socket that takes them as it likes."""

from __future__ import annotations

import socket

import pytest

from runtime.outgoing import Outgoing


def test_all_bytes_go_in_order_as_the_socket_takes_them() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        outgoing = Outgoing(near)
        wanted = b"".join(bytes([number]) * 100_000 for number in range(20))
        for number in range(20):
            outgoing.add(bytes([number]) * 100_000)
        received = b""
        sent = outgoing.flush()
        assert 0 < sent < len(wanted)
        assert outgoing
        assert outgoing.size == len(wanted) - sent
        while len(received) < len(wanted):
            received += far.recv(65_536)
            sent += outgoing.flush()
        assert received == wanted
        assert sent == len(wanted)
        assert not outgoing
        assert outgoing.size == 0


def test_where_the_other_end_is_gone_nothing_is_left_to_be_sent() -> None:
    near, far = socket.socketpair()
    with near:
        near.setblocking(False)
        far.close()
        outgoing = Outgoing(near)
        outgoing.add(b"words")
        with pytest.raises(OSError, match="Broken pipe"):
            outgoing.flush()
        assert not outgoing
        assert outgoing.size == 0
