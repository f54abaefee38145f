"""Domains that may do something: keep files, read them, talk to ports, hear packets."""

from __future__ import annotations

__all__ = [
    "hear_packets",
    "import_a_module",
    "keep_files",
    "only_read",
    "ports_and_folders",
    "serve_and_connect",
    "tell_the_time",
]

import ctypes
import fcntl
import mmap
import os
import shutil
import socket
import sqlite3
import struct
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path

import av
import hypercorn.config
import hypercorn.trio
import numpy as np
import sqlite_utils
import sqlite_utils.db
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.clock import Clock, boot_id, look
from runtime.sandbox import Permissions, confine_thread
from runtime.sandbox.machine import call
from tests.unit.runtime.sandbox.child import attempt, confined


def _write(path: Path) -> None:
    with open(path, "w") as file:
        file.write("written")


def keep_files(folder: str) -> dict[str, object]:
    """SQLite with its log, files replaced by renaming, folders; and everything elsewhere."""
    own, other = Path(folder, "own"), Path(folder, "other")
    for made in (own, other):
        made.mkdir()
        (made / "there").write_text("there")
    done: dict[str, object] = {}

    def work() -> None:
        database = sqlite_utils.Database(own / "statistics.db")
        database.conn.execute("pragma journal_mode=wal")
        database.conn.execute("pragma secure_delete=on")
        database["slices"].insert_all({"id": n, "people": n * 2} for n in range(500))
        database["slices"].delete_where("id < 100")
        done["rows"] = database["slices"].count
        done["mode"] = database.conn.execute("pragma journal_mode").fetchone()[0]
        second = sqlite3.connect(own / "statistics.db")
        done["seen by a second"] = second.execute("select count(*) from slices").fetchone()[0]
        second.close()
        done["checkpoint"] = database.conn.execute("pragma wal_checkpoint(truncate)").fetchone()[0]
        database.conn.close()

        (own / "a" / "b").mkdir(parents=True)
        temporary = own / "a" / "segment.part"
        with open(temporary, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(bytes(1000))
            file.flush()
            os.fsync(file.fileno())
            file.truncate(600)
        temporary.rename(own / "segment")
        directory = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(directory)
        os.close(directory)
        done["size"] = (own / "segment").stat().st_size
        done["free"] = shutil.disk_usage(own).free > 0
        shutil.copyfile(own / "segment", own / "copy")
        (own / "copy").unlink()
        (own / "a" / "b").rmdir()
        with tempfile.TemporaryFile(dir=own) as unnamed:
            unnamed.write(b"x")
        with os.scandir(own) as entries:
            done["entries"] = sorted(entry.name for entry in entries)

        done["refused"] = {
            "read elsewhere": attempt(lambda: (other / "there").read_text()),
            "list elsewhere": attempt(lambda: os.listdir(other)),
            "write elsewhere": attempt(lambda: _write(other / "new")),
            "change elsewhere": attempt(lambda: _write(other / "there")),
            "empty elsewhere": attempt(lambda: os.open(other / "there", os.O_RDONLY | os.O_TRUNC)),
            "cut elsewhere": attempt(lambda: os.truncate(other / "there", 1)),
            "move out": attempt(lambda: (own / "segment").rename(other / "segment")),
            "move in": attempt(lambda: (other / "there").rename(own / "taken")),
            "remove elsewhere": attempt(lambda: (other / "there").unlink()),
            "folder elsewhere": attempt(lambda: (other / "folder").mkdir()),
            "mode": attempt(lambda: (own / "there").chmod(0o777)),
            "attribute": attempt(lambda: os.setxattr(own / "there", "user.a", b"b")),
            "times": attempt(lambda: os.utime(own / "there", (1, 1))),
            "symbolic link": attempt(lambda: (own / "link").symlink_to(other)),
            "hard link": attempt(lambda: os.link(own / "there", own / "hard")),
            "pipe": attempt(lambda: os.mkfifo(own / "pipe")),
            "socket": attempt(lambda: socket.socket().close()),
            "fork": attempt(os.fork),
            "executable map": attempt(lambda: _executable_map(own / "there")),
        }

    confined(Permissions(write=(own,)), work)
    done["other"] = {path.name: path.read_text() for path in other.iterdir()}
    done["own"] = sorted(path.name for path in own.iterdir())
    return done


def tell_the_time(folder: str) -> dict[str, object]:
    """A domain that keeps files knows how old they are, and sets no clock."""
    boot_id()  # as ``Capability.prepare`` does, before the walls
    outside = look()
    done: dict[str, object] = {}

    def work() -> None:
        inside = look()
        done["same boot"] = inside.boot == outside.boot
        done["same word"] = inside.synchronised == outside.synchronised
        step = (inside.wall - inside.boottime) - (outside.wall - outside.boottime)
        done["same clocks"] = abs(step) < 500_000
        timeline = Clock(Path(folder, "clock.json")).read()
        done["journal"] = Clock(Path(folder, "clock.json")).read().offsets == timeline.offsets
        for name, mode in (("offset", 0x0100), ("tick", 0x4000), ("status", 0x0010)):
            # struct timex with that mode; nothing would change if it were let.
            change = ctypes.create_string_buffer(struct.pack("=i", mode), 208)
            done[name] = attempt(lambda change=change: call("adjtimex", change))

    confined(Permissions(write=(Path(folder),)), work)
    return done


def _executable_map(path: Path) -> None:
    with open(path, "r+b") as file:
        mmap.mmap(
            file.fileno(), 4, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE | mmap.PROT_EXEC
        ).close()


def _make_film(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(10):
            picture = np.full((240, 320, 3), number * 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))


def only_read(folder: str) -> dict[str, object]:
    """A capture domain on a film: it reads it, and writes nowhere, not even by what it holds."""
    below = Path(folder)
    film = below / "film.mp4"
    _make_film(film)
    (below / "secret").write_text("secret")
    size = film.stat().st_size
    done: dict[str, object] = {}
    with open(below / "held", "wb", buffering=0) as held:

        def work() -> None:
            with av.open(str(film), options={"protocol_whitelist": "file"}) as container:
                done["packets"] = sum(1 for packet in container.demux() if packet.size)
            done["refused"] = {
                "write": attempt(lambda: _write(below / "new")),
                "append": attempt(lambda: os.open(film, os.O_WRONLY | os.O_APPEND)),
                "read and write": attempt(lambda: os.open(film, os.O_RDWR)),
                "empty": attempt(lambda: os.open(film, os.O_RDONLY | os.O_TRUNC)),
                "unnamed": attempt(lambda: os.open(below, os.O_RDWR | os.O_TMPFILE)),
                "remove": attempt(film.unlink),
                "rename": attempt(lambda: film.rename(below / "other")),
                "mode": attempt(lambda: film.chmod(0o777)),
                "held": attempt(lambda: held.write(b"x")),
                "held at a place": attempt(lambda: os.pwrite(held.fileno(), b"x", 0)),
                "held cut": attempt(lambda: os.ftruncate(held.fileno(), 5)),
                "held, file to file": attempt(
                    lambda: os.sendfile(held.fileno(), held.fileno(), 0, 1)
                ),
                "other file": attempt((below / "secret").read_text),
                "list": attempt(lambda: os.listdir(below)),
                "shared map": attempt(lambda: _shared_map(film)),
                "encoder": attempt(lambda: _make_film(below / "out.mp4")),
            }

        confined(Permissions(read=(film,), connect=(1,)), work)
    done["files"] = sorted(os.listdir(below))
    done["sizes"] = [film.stat().st_size == size, (below / "held").stat().st_size]
    return done


def _shared_map(path: Path) -> None:
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 4, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ).close()


def import_a_module() -> dict[str, object]:
    """Modules that were not loaded before: one in Python, one that is a library."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")}
    names = ("tabnanny", "_lsprof")
    loaded = [name for name in names if name in sys.modules]

    def work() -> list[str]:
        return [attempt(lambda name=name: __import__(name)) for name in names]

    return {
        "loaded before": loaded,
        "without": confined(Permissions(), work),
        "with": confined(Permissions(read=tuple(map(Path, folders))), work),
    }


def serve_and_connect() -> dict[str, object]:
    """One allowed port and one that is not, on both sides; a real web server inside the walls."""
    allowed = socket.create_server(("127.0.0.1", 0))
    refused = socket.create_server(("127.0.0.1", 0))
    with socket.create_server(("127.0.0.1", 0)) as found:
        own_port = found.getsockname()[1]
    done: dict[str, object] = {}
    failures: list[BaseException] = []
    ready, end = threading.Event(), trio.Event()
    token: list[trio.lowlevel.TrioToken] = []
    fast_open = 0x2000_0000

    def to(port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=5)

    def fast(port: int) -> None:
        with socket.socket() as client:
            client.sendto(b"x", fast_open, ("127.0.0.1", port))

    def bind(port: int) -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            server.listen()

    async def answer(request: Request) -> Response:
        return PlainTextResponse("a notice")

    application = Starlette(routes=[Route("/", answer)])

    async def main() -> None:
        confine_thread(
            Permissions(connect=(allowed.getsockname()[1],), listen=(own_port,)),
        )
        stream = await trio.open_tcp_stream("127.0.0.1", allowed.getsockname()[1])
        await stream.send_all(b"hello")
        await stream.aclose()
        with to(allowed.getsockname()[1]) as blocking:
            blocking.sendall(b"hello")
        done["refused"] = {
            "another port": attempt(lambda: to(refused.getsockname()[1])),
            "another port at once": attempt(lambda: fast(refused.getsockname()[1])),
            "to serve another": attempt(lambda: bind(own_port + 1)),
            "to serve any": attempt(lambda: bind(0)),
            "datagrams": attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).close()),
            "unix": attempt(lambda: socket.socket(socket.AF_UNIX).close()),
            "raw": attempt(lambda: socket.socket(type=socket.SOCK_RAW).close()),
            "packets": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()),
            "multipath": attempt(lambda: socket.socket(proto=262).close()),
            "file": attempt(lambda: open("/proc/self/status").close()),
            "write": attempt(lambda: os.write(2, b"x")),
        }
        configuration = hypercorn.config.Config()
        listener = socket.create_server(("127.0.0.1", own_port))
        configuration.bind = [f"fd://{os.dup(listener.fileno())}"]
        configuration.accesslog = configuration.errorlog = None
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve, configuration)
            token.append(trio.lowlevel.current_trio_token())
            ready.set()
            await end.wait()
            nursery.cancel_scope.cancel()
        listener.close()

    async def _serve(
        configuration: hypercorn.config.Config,
        task_status: trio.TaskStatus[object],
    ) -> None:
        await hypercorn.trio.serve(application, configuration, task_status=task_status)  # type: ignore[arg-type]

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            failures.append(error)
        ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    received = []
    allowed.settimeout(10)
    for _ in range(2):
        connection, _ = allowed.accept()
        received.append(connection.recv(100).decode())
        connection.close()
    ready.wait(20)
    if not failures:
        with to(own_port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: pole\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := client.recv(1000):
                got += piece
        done["answer"] = got.split(b"\r\n\r\n")[-1].decode()
        token[0].run_sync_soon(end.set)
    thread.join()
    if failures:
        raise failures[0]
    refused.setblocking(False)
    done["connections"] = attempt(refused.accept)
    done["received"] = received
    allowed.close()
    refused.close()
    return done


def ports_and_folders(folder: str) -> dict[str, object]:
    """A domain with a folder and a port has both and no more."""
    below = Path(folder)
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def work() -> dict[str, str]:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"hello")
        return {
            "inside": attempt(lambda: _write(below / "inside")),
            "outside": attempt(lambda: _write(below.parent / "smartpole-outside")),
            "port": attempt(lambda: socket.create_connection(("127.0.0.1", port + 1))),
        }

    done: dict[str, object] = confined(Permissions(write=(below,), connect=(port,)), work)
    server.close()
    return {**done, "exists": (below.parent / "smartpole-outside").exists()}


def hear_packets() -> dict[str, object]:
    """Hear what is sent to lo, and send nothing there. Needs CAP_NET_RAW."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    marker = b"heard on the way"

    def work() -> dict[str, object]:
        listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        listener.settimeout(5)
        listener.bind(("lo", 3))
        done["kind"] = listener.getsockname()[3]
        sender_may.set()
        while marker not in (heard := listener.recv(2000)):
            pass
        done["heard"] = marker in heard
        frame = bytes(12) + b"\x88\xb5" + b"from inside" * 5
        done["refused"] = {
            "send": attempt(lambda: listener.send(frame)),
            "send to": attempt(lambda: listener.sendto(frame, ("lo", 0))),
            "sendmsg": attempt(lambda: listener.sendmsg([frame])),
            "write": attempt(lambda: os.write(listener.fileno(), frame)),
            "ring": attempt(lambda: listener.setsockopt(263, 13, bytes(28))),
            "datagram": attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).close()),
            "file": attempt(lambda: open("/proc/self/status").close()),
        }
        listener.close()
        return done

    done: dict[str, object] = {}
    sender_may = threading.Event()

    def send() -> None:
        sender_may.wait(20)
        sender.sendto(marker, ("127.0.0.1", 9))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        confined(Permissions(packets=True), work)
    finally:
        sender_may.set()
        thread.join()
        sender.close()
    return done
