"""What the crowd and wifi domains do all day, done in a thread that may open nothing."""

from __future__ import annotations

__all__ = ["attempts_of_other_threads", "do_jobs", "mark_and_verify", "recognise_threads"]

import gc
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.random
import trio
from cryptography.hazmat.primitives import hashes, hmac
from onnx import TensorProto, helper, numpy_helper

from models.library import onnxruntime
from runtime.sandbox import Permissions, Walls, confine_thread, loop_descriptors, unconfined
from runtime.threads import is_confined_thread
from tests.unit.runtime.sandbox.child import attempt, confined

av.logging.set_level(None)
onnxruntime.set_default_logger_severity(3)


def _model() -> bytes:
    """A convolution, large enough that ONNX Runtime divides it among threads."""
    weights = np.random.default_rng(0).random((16, 3, 3, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "weights"], ["out"])],
        "graph",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 256, 256])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 16, 254, 254])],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def _film() -> tuple[bytes, list[bytes]]:
    """Ten H.264 pictures, as a camera would send them: the header, and a packet for each."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.framerate, encoder.options = 10, {"tune": "zerolatency"}
    packets = []
    for number in range(10):
        picture = np.full((240, 320, 3), number * 20, np.uint8)
        packets += encoder.encode(av.VideoFrame.from_ndarray(picture))
    packets += encoder.encode(None)
    return bytes(encoder.extradata or b""), [bytes(packet) for packet in packets]


def _infer(model: bytes, threads: int) -> list[int]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    out = session.run(None, {"picture": np.ones((1, 3, 256, 256), np.float32)})[0]
    return list(out.shape)


def _decode(film: tuple[bytes, list[bytes]], threads: int) -> int:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count, decoder.thread_type = threads, "AUTO"
    decoder.extradata = film[0] or None
    pictures = 0
    for packet in [*map(av.Packet, film[1]), None]:
        for picture in decoder.decode(packet):
            pictures += picture.to_ndarray(format="rgb24").shape == (240, 320, 3)
    return pictures


def _authenticate() -> int:
    code = hmac.HMAC(os.urandom(32), hashes.SHA256())
    code.update(b"device")
    return len(code.finalize())


class _Loop:
    """A trio loop in a thread of its own, confined from inside."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions
        self._thread = threading.Thread(target=self._run)
        self.walls: Walls | None = None
        self.seconds = 0.0
        self.native_ids: list[int] = []
        self.ended = ""

    def start(self, work: Any) -> None:
        self._work = work
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        self.ended = attempt(lambda: trio.run(self._main))

    async def _main(self) -> None:
        began = time.perf_counter()
        self.walls = confine_thread(self._permissions)
        self.seconds = time.perf_counter() - began
        self.native_ids.append(threading.get_native_id())
        await self._work()


def do_jobs() -> dict[str, object]:
    model, film = _model(), _film()
    near, far = socket.socketpair()
    link = trio.SocketStream(trio.socket.from_stdlib_socket(near))
    descriptor = near.fileno()
    done: dict[str, object] = {}
    token: list[trio.lowlevel.TrioToken] = []
    woken, ready = trio.Event(), threading.Event()

    async def work() -> None:
        generator = np.random.default_rng(1)
        matrix = generator.random((300, 300))
        done["numpy"] = bool(np.allclose(np.linalg.inv(matrix) @ matrix, np.eye(300)))
        for threads in (1, 2):
            done[f"inference on {threads}"] = _infer(model, threads)
            done[f"pictures on {threads}"] = _decode(film, threads)
        done["hmac"] = _authenticate()
        await link.send_all(b"counts")
        done["received"] = (await link.receive_some(100)).decode()
        with trio.move_on_after(0.01) as scope:
            await trio.sleep_forever()
        done["timed out"] = scope.cancelled_caught
        token.append(trio.lowlevel.current_trio_token())
        ready.set()
        await woken.wait()
        done["woken from outside"] = True
        await link.aclose()

    far.sendall(b"packets")
    loop = _Loop(Permissions(links=(descriptor,)))
    loop.start(work)
    while not ready.wait(0.1):
        assert not loop.ended, f"{loop.ended} after {done}"
    token[0].run_sync_soon(woken.set)
    loop.join()
    assert loop.walls is not None
    said = far.recv(100).decode()
    far.close()
    return {
        **done,
        "ended": loop.ended,
        "at the far end": said,
        "missing": loop.walls.missing,
        "milliseconds": loop.seconds * 1000,
    }


def attempts_of_other_threads(folder: str) -> dict[str, object]:
    """One thread confined, one before it, one started by it, one started after it by main."""

    def write(name: str) -> str:
        def create() -> None:
            with open(f"{folder}/{name}", "x") as file:
                file.write(name)

        return attempt(create)

    results: dict[str, object] = {}
    begin, ended = threading.Event(), threading.Event()

    def run_before() -> None:
        begin.wait()
        results["before"] = write("before")

    def run_inside() -> None:
        confine_thread(Permissions())
        offspring = threading.Thread(target=lambda: results.update(inside=write("offspring")))
        offspring.start()
        offspring.join()
        results["confined"] = write("confined")
        begin.set()
        ended.wait()

    before = threading.Thread(target=run_before)
    inside = threading.Thread(target=run_inside)
    before.start()
    inside.start()
    before.join()
    after = threading.Thread(target=lambda: results.update(after=write("after")))
    after.start()
    after.join()
    results["main"] = write("main")
    ended.set()
    inside.join()
    results["files"] = sorted(os.listdir(folder))
    return results


def mark_and_verify() -> dict[str, object]:
    """What the kernel says of the threads, while some of them are confined."""
    ready, end = threading.Barrier(3), threading.Event()
    ids: dict[str, int] = {}

    def stay(name: str) -> None:
        ids[name] = threading.get_native_id()
        ready.wait()
        end.wait()

    def run_inside() -> None:
        confine_thread(Permissions())
        offspring = threading.Thread(target=stay, args=("offspring",))
        offspring.start()
        stay("confined")
        offspring.join()

    inside = threading.Thread(target=run_inside)
    inside.start()
    ready.wait()
    process, main = os.getpid(), threading.get_native_id()
    everywhere = unconfined(process)
    results: dict[str, object] = {
        "of the confined": unconfined(process, [*ids.values()]),
        "main is found": main in everywhere,
        "confined are found": bool(set(ids.values()) & set(everywhere)),
        "one that is gone": unconfined(process, [2**22 - 1]),
    }
    end.set()
    inside.join()
    return results


def recognise_threads(folder: str) -> dict[str, object]:
    """Whether a thread that nobody has marked knows that it is held: one that a confined thread has
    started, in domains of each kind; and the main thread, before and after."""
    results: dict[str, object] = {"main, before": is_confined_thread()}
    kinds = {
        "nothing": Permissions(),
        "files": Permissions(write=(Path(folder),)),
        "sockets": Permissions(connect=(80,), listen=(8080,), resolve=True),
        "packets": Permissions(packets=True),
        "devices": Permissions(devices=(Path("/dev/null"),)),
    }

    def work() -> bool:
        answers: list[bool] = []
        offspring = threading.Thread(target=lambda: answers.append(is_confined_thread()))
        offspring.start()
        offspring.join()
        return answers[0]

    for name, permissions in kinds.items():
        results[name] = confined(permissions, work)
    results["main, after"] = is_confined_thread()
    return results


def loops_one_after_another() -> dict[str, object]:
    """Restart a domain's thread, closing outside what it only pretended to close."""
    counts = []
    for _ in range(4):
        found: list[int] = []

        async def work(found: list[int] = found) -> None:
            loop = loop_descriptors()
            assert loop is not None
            found += loop.all

        loop = _Loop(Permissions())
        loop.start(work)
        loop.join()
        assert loop.ended == "done", loop.ended
        for descriptor in found:
            os.close(descriptor)
        gc.collect()
        counts.append(len(os.listdir("/proc/self/fd")))
    return {"open": counts}
