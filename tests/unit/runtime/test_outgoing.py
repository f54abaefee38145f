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


def test_pieces_go_together_as_far_as_one_call_should_carry() -> None:
    """A socket of packets shows what was given to it at once."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        near.setblocking(False)
        outgoing = Outgoing(near)
        pieces = [b"a" * 4, b"b" * 1000, b"c" * 4, b"d" * 100_000, b"e" * 170_000, b"f"]
        outgoing.add(*pieces[:2])
        outgoing.add(*pieces[2:])
        sent, seen = outgoing.flush(), []
        while outgoing or sum(map(len, seen)) < sent:
            seen.append(far.recv(1 << 20))
            sent += outgoing.flush()
        assert seen == [b"".join(pieces[:4]), b"".join(pieces[4:])]
        assert sent == sum(map(len, pieces))
