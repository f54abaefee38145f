"""Network and sockets of this machine."""

from __future__ import annotations

__all__: list[str] = []

import array
import asyncio
import http.client
import os
import socket
import struct
import urllib.request

import av
import numpy as np
import trio
import zmq

from actors.escape.attempt import Scene, attempt

_HOST = "127.0.0.1"
_USERSOCK = 2


@attempt("network")
def tcp_connection(scene: Scene) -> None:
    """A TCP connection."""
    with socket.socket() as one:
        one.connect((_HOST, scene.settings.tcp))
        one.sendall(scene.loot)


@attempt("network")
def tcp_fast_open(scene: Scene) -> None:
    """sendto() with MSG_FASTOPEN, which connects without connect()."""
    with socket.socket() as one:
        one.sendto(scene.loot, socket.MSG_FASTOPEN, (_HOST, scene.settings.tcp))


@attempt("network")
def udp_datagram(scene: Scene) -> None:
    """A UDP datagram by sendto()."""
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendto(scene.loot, (_HOST, scene.settings.udp))


@attempt("network")
def udp_connected(scene: Scene) -> None:
    """A UDP socket that is connected, and write() on it."""
    with socket.socket(type=socket.SOCK_DGRAM) as one:
        one.connect((_HOST, scene.settings.udp))
        os.write(one.fileno(), scene.loot)


@attempt("network")
def udp_sendmsg(scene: Scene) -> None:
    """A UDP datagram by sendmsg(), on IPv6 mapped to IPv4."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.sendmsg([scene.loot], [], 0, (f"::ffff:{_HOST}", scene.settings.udp))


@attempt("network")
def unix_stream(scene: Scene) -> None:
    """A Unix socket with a path."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(scene.settings.unix))
        one.sendall(scene.loot)


@attempt("network")
def unix_datagram(scene: Scene) -> None:
    """A Unix datagram socket with a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(scene.loot, str(scene.settings.datagram))


@attempt("network")
def unix_abstract(scene: Scene) -> None:
    """A Unix socket with an abstract name."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + scene.settings.abstract)
        one.sendall(scene.loot)


@attempt("network")
def unix_socket_named_by_the_loot(scene: Scene) -> None:
    """bind() of a Unix socket whose path is the loot."""
    with socket.socket(socket.AF_UNIX) as one:
        folder = os.open(scene.path.parent, os.O_PATH)
        try:
            one.bind(f"/proc/self/fd/{folder}/{scene.text[:40]}")
        finally:
            os.close(folder)


@attempt("network")
def netlink_message(scene: Scene) -> None:
    """A netlink message to another program."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _USERSOCK) as one:
        header = struct.pack("=IHHII", 16 + len(scene.loot), 16, 0, 1, 0)
        one.sendto(header + scene.loot, (scene.settings.netlink, 0))


@attempt("network", effect="port")
def number_of_a_listening_port(scene: Scene) -> None:
    """listen() on a port whose number is part of the loot."""
    one = socket.socket()
    port = 20_000 + int.from_bytes(scene.loot[:2], "big") % 12_000
    one.bind((_HOST, port))
    one.listen()
    scene.actor.kept.append(one)


@attempt("network")
def descriptor_in_a_message(scene: Scene) -> None:
    """SCM_RIGHTS: a pipe that holds the loot is handed to another program."""
    reading, writing = os.pipe()
    os.write(writing, scene.loot)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(scene.settings.unix))
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reading]))
        one.sendmsg([b"take"], [rights])


@attempt("network")
async def trio_stream(scene: Scene) -> None:
    """trio.open_tcp_stream()."""
    async with await trio.open_tcp_stream(_HOST, scene.settings.tcp) as stream:
        await stream.send_all(scene.loot)


@attempt("network")
def asyncio_loop(scene: Scene) -> None:
    """A loop of asyncio, inside."""

    async def send() -> None:
        _, writer = await asyncio.open_connection(_HOST, scene.settings.tcp)
        writer.write(scene.loot)
        await writer.drain()
        writer.close()

    asyncio.run(send())


@attempt("network")
def http_request(scene: Scene) -> None:
    """http.client puts the loot into an address."""
    connection = http.client.HTTPConnection(_HOST, scene.settings.tcp, timeout=2)
    try:
        connection.request("GET", f"/{scene.text}")
    finally:
        connection.close()


@attempt("network", limit=4)
def url_opened(scene: Scene) -> None:
    """urllib posts the loot."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    address = f"http://{_HOST}:{scene.settings.tcp}/"
    with opener.open(urllib.request.Request(address, data=scene.loot), timeout=1):
        pass


@attempt("network")
def pyav_to_the_network(scene: Scene) -> None:
    """PyAV sends a stream of one raw picture by UDP."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels.reshape(-1)[: len(scene.loot)] = np.frombuffer(scene.loot, np.uint8)
    with av.open(f"udp://{_HOST}:{scene.settings.udp}?pkt_size=1400", "w", format="avi") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))


@attempt("network", alone=True)
def zeromq_of_its_own(scene: Scene) -> None:
    """A ZeroMQ context of its own."""
    _push(zmq.Context(), scene)


@attempt("network", alone=True)
def zeromq_of_the_pole(scene: Scene) -> None:
    """The ZeroMQ context that the pole's control socket uses, whose threads run already."""
    _push(zmq.Context.instance(), scene)


def _push(context: zmq.Context[zmq.Socket[bytes]], scene: Scene) -> None:
    with context.socket(zmq.STREAM) as one:
        one.linger = 500
        one.connect(f"tcp://{_HOST}:{scene.settings.tcp}")
        if not one.poll(1500):
            raise TimeoutError
        identity, _ = one.recv_multipart()
        one.send_multipart([identity, scene.loot])
