"""A live interface: a real one, made for the test in a network namespace of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from actors.wifi.errors import SensingLost
from actors.wifi.monitor import MonitorInterface
from runtime import Unrecoverable

try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    MAY_LISTEN = True
except (OSError, AttributeError):
    MAY_LISTEN = False

MAY_MAKE_INTERFACES = (
    MAY_LISTEN
    and Path("/dev/net/tun").exists()
    and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0
)


def test_without_permission_it_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(Unrecoverable, match=r"listening to wlan0mon needs .* CAP_NET_RAW"):
        MonitorInterface("wlan0mon")


@pytest.mark.skipif(not MAY_LISTEN, reason="needs CAP_NET_RAW")
def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(SensingLost, match="there is no network interface 'wlan9mon'"):
        MonitorInterface("wlan9mon")


@pytest.mark.skipif(not MAY_LISTEN, reason="needs CAP_NET_RAW")
def test_an_interface_that_is_no_monitor() -> None:
    with pytest.raises(Unrecoverable, match="lo is not in monitor mode"):
        MonitorInterface("lo")


LISTEN = r"""
import fcntl, os, socket, struct, subprocess, sys
import trio
from actors.wifi.errors import SensingLost
from actors.wifi.monitor import MonitorInterface
from tests.unit.wifi.frames import STATION, probe_request, radiotap
from actors.wifi.frame import station_of

tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH14x", b"wlan0mon", 0x0002 | 0x1000))  # TAP, NO_PI
fcntl.ioctl(tap, 0x400454CD, 803)  # its link type: 802.11 with radiotap
def link(up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = 0x1043 if up else 0x1002
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"wlan0mon", flags))
link(True)

async def main():
    monitor = MonitorInterface("wlan0mon")
    frame = radiotap(probe_request(STATION))
    os.write(tap, frame)
    os.write(tap, radiotap(probe_request(STATION) + bytes(1400)))
    with trio.fail_after(5):
        while True:  # the kernel itself may send on a new interface
            received = await monitor.receive()
            if bytes(received) == frame:
                break
        assert station_of(received) == STATION
        received = await monitor.receive()
        assert len(received) == 512, len(received)  # no payload is read
        with trio.move_on_after(0.05) as nothing_comes:
            await monitor.receive()
        assert nothing_comes.cancelled_caught
        assert not any(monitor._buffer)  # and no address waits
        os.write(tap, frame)
        assert bytes(await monitor.receive()) == frame  # cancelling lost nothing
        link(False)
        try:
            while True:
                await monitor.receive()
        except SensingLost as lost:
            assert "listening to wlan0mon ended: Network is down." == str(lost), lost
    monitor.close()
    print("heard")

trio.run(main)
"""


@pytest.mark.skipif(not MAY_MAKE_INTERFACES, reason="needs /dev/net/tun and user namespaces")
def test_it_hears_a_real_interface_until_it_goes_down() -> None:
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", LISTEN],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "heard\n", done.stderr
