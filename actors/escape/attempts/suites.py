"""What only the wifi or the capture domain can try: by what they alone are granted."""

from __future__ import annotations

__all__: list[str] = []

import os
import socket

import av

from actors.camera.messages import EncodedPacket
from actors.escape.attempt import Scene, attempt
from actors.wifi.messages import DeviceCount


def _packet(data: bytes) -> EncodedPacket:
    return EncodedPacket(
        session=0,
        sequence=0,
        key=True,
        pts=None,
        dts=None,
        duration=0,
        captured_at=0,
        header=None,
        data=data,
    )


@attempt("suites", only="capture")
def packet_to_a_file(scene: Scene) -> None:
    """A packet, encoded as at the border, in a file."""
    scene.path.write_bytes(_packet(scene.loot).data)


@attempt("suites", only="capture")
def packet_remultiplexed(scene: Scene) -> None:
    """PyAV writes the packet into a film as it came."""
    with av.open(str(scene.path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width = stream.height = 16
        packet = av.Packet(b"\0\0\1" + scene.loot)
        packet.stream = stream
        packet.pts = packet.dts = 0
        container.mux(packet)


@attempt("suites", only="capture")
def packet_to_another_camera(scene: Scene) -> None:
    """A port that is not the camera's, on the camera's host."""
    with socket.create_connection(("127.0.0.1", scene.settings.tcp), timeout=2) as connection:
        connection.sendall(_packet(scene.loot).data)


@attempt("suites", only="capture")
def packet_to_a_stream_server(scene: Scene) -> None:
    """PyAV opens another address than the camera's, which holds the packet."""
    av.open(f"http://127.0.0.1:{scene.settings.tcp}/{scene.text}", timeout=1.0).close()


@attempt("suites", only="wifi")
def address_in_a_place(scene: Scene) -> None:
    """A MAC address as the name of a place."""
    place = "-".join(f"{byte:02x}" for byte in scene.loot)
    scene.actor.counts.send_nowait(DeviceCount(place=place, start=0, end=1, devices=0))


@attempt("suites", only="wifi", effect="number")
def address_as_a_number(scene: Scene) -> None:
    """A MAC address where a number of devices belongs."""
    scene.actor.counts.send_nowait(
        DeviceCount(
            place=scene.actor.place, start=0, end=1, devices=int.from_bytes(scene.loot, "big")
        )
    )


@attempt("suites", only="wifi")
def address_as_a_file(scene: Scene) -> None:
    """A file named by the address, as programs for Wi-Fi make them."""
    name = ":".join(f"{byte:02x}" for byte in scene.loot)
    os.close(os.open(scene.path.parent / name, os.O_CREAT | os.O_WRONLY, 0o600))
