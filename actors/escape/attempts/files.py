"""Files: everything that makes, fills or marks one."""

from __future__ import annotations

__all__: list[str] = []

import contextlib
import ctypes
import io
import logging
import mmap
import os
import pathlib
import shutil
import sqlite3
import tempfile
import zipfile
from fractions import Fraction
from multiprocessing import shared_memory

import av
import numpy as np

from actors.escape.attempt import Scene, attempt
from actors.escape.tinymodel import identity_model
from models.library import onnxruntime

_BITS_48 = 6


@attempt("files")
def open_and_write(scene: Scene) -> None:
    """open() a new file and write."""
    with open(scene.path, "wb") as file:
        file.write(scene.loot)


@attempt("files")
def os_open_and_write(scene: Scene) -> None:
    """os.open() and os.write()."""
    descriptor = os.open(scene.path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, scene.loot)
    finally:
        os.close(descriptor)


@attempt("files", canvas=1)
def append_to_a_file_that_is_there(scene: Scene) -> None:
    """Append to an existing file."""
    with open(scene.canvas[0], "ab") as file:
        file.write(scene.loot)


@attempt("files")
def pathlib_write(scene: Scene) -> None:
    """Path.write_bytes()."""
    pathlib.Path(scene.path).write_bytes(scene.loot)


@attempt("files")
def raw_file_io(scene: Scene) -> None:
    """io.FileIO without a buffer."""
    with io.FileIO(scene.path, "w") as file:
        file.write(scene.loot)


@attempt("files")
def opener_of_ones_own(scene: Scene) -> None:
    """open() with an opener that goes by the folder's descriptor."""
    folder = os.open(scene.path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        opener = lambda path, flags: os.open(path, flags, 0o600, dir_fd=folder)  # noqa: E731
        with open(scene.path.name, "wb", opener=opener) as file:
            file.write(scene.loot)
    finally:
        os.close(folder)


@attempt("files")
def numpy_tofile(scene: Scene) -> None:
    """ndarray.tofile(), which writes from C."""
    np.frombuffer(scene.loot, np.uint8).tofile(scene.path)


@attempt("files")
def numpy_save(scene: Scene) -> None:
    """numpy.save()."""
    np.save(scene.path, np.frombuffer(scene.loot, np.uint8))


@attempt("files")
def numpy_memmap(scene: Scene) -> None:
    """numpy.memmap of a new file."""
    mapped = np.memmap(scene.path, np.uint8, "w+", shape=(len(scene.loot),))
    mapped[:] = np.frombuffer(scene.loot, np.uint8)
    mapped.flush()


@attempt("files")
def pyav_video(scene: Scene) -> None:
    """PyAV writes a film of one raw picture."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels.reshape(-1)[: len(scene.loot)] = np.frombuffer(scene.loot, np.uint8)
    with av.open(str(scene.path), "w", format="avi") as container:
        stream = container.add_stream("rawvideo", rate=Fraction(25))
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))


@attempt("files")
def pyav_metadata(scene: Scene) -> None:
    """PyAV writes a film whose title is the loot."""
    with av.open(str(scene.path), "w", format="matroska") as container:
        container.metadata["title"] = scene.text
        stream = container.add_stream("mjpeg", rate=Fraction(25))
        stream.width = stream.height = 16
        stream.pix_fmt = "yuvj420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), "rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@attempt("files")
def onnx_profile(scene: Scene) -> None:
    """ONNX Runtime's profile, in a file whose name begins with the loot."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(scene.named())
    session = onnxruntime.InferenceSession(
        identity_model(b""), options, providers=["CPUExecutionProvider"]
    )
    session.end_profiling()


@attempt("files")
def onnx_optimized_model(scene: Scene) -> None:
    """ONNX Runtime's optimized model, in which the loot is a constant."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(scene.path)
    onnxruntime.InferenceSession(
        identity_model(scene.loot), options, providers=["CPUExecutionProvider"]
    )


@attempt("files")
def sqlite_database(scene: Scene) -> None:
    """A new SQLite database."""
    with contextlib.closing(sqlite3.connect(scene.path)) as database:
        database.execute("CREATE TABLE loot (bytes BLOB)")
        database.execute("INSERT INTO loot VALUES (?)", [scene.loot])
        database.commit()


@attempt("files")
def sqlite_vacuum_into(scene: Scene) -> None:
    """A database in memory, copied to disk by VACUUM INTO."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE loot (bytes BLOB)")
        database.execute("INSERT INTO loot VALUES (?)", [scene.loot])
        database.commit()
        database.execute("VACUUM INTO ?", [str(scene.path)])


@attempt("files")
def temporary_file(scene: Scene) -> None:
    """tempfile.NamedTemporaryFile(delete=False)."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(scene.loot)


@attempt("files")
def temporary_folder(scene: Scene) -> None:
    """tempfile.mkdtemp() with the loot in its name."""
    tempfile.mkdtemp(prefix=scene.text)


@attempt("files")
def unnamed_file_linked_later(scene: Scene) -> None:
    """O_TMPFILE, filled and then given a name."""
    descriptor = os.open(scene.path.parent, os.O_WRONLY | os.O_TMPFILE, 0o600)
    try:
        os.write(descriptor, scene.loot)
        os.link(f"/proc/self/fd/{descriptor}", scene.path, src_dir_fd=0, follow_symlinks=True)
    finally:
        os.close(descriptor)


@attempt("files")
def map_of_a_file(scene: Scene) -> None:
    """mmap of a file, shared and writable."""
    with open(scene.path, "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        with mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
            mapped[: len(scene.loot)] = scene.loot


@attempt("files", effect="memfd")
def memory_file(scene: Scene) -> None:
    """memfd_create(): a file without a folder, which others of this user can open."""
    descriptor = os.memfd_create(f"{scene.suite}-{scene.text[:16]}")
    os.write(descriptor, scene.loot)  # stays open, for whoever looks into /proc


@attempt("files")
def shared_memory_segment(scene: Scene) -> None:
    """multiprocessing.shared_memory, under /dev/shm."""
    name = f"{scene.settings.run}-{scene.suite}"
    shared = shared_memory.SharedMemory(name, create=True, size=len(scene.loot))
    assert shared.buf is not None
    shared.buf[: len(scene.loot)] = scene.loot


@attempt("files")
def file_in_dev_shm(scene: Scene) -> None:
    """A plain file under /dev/shm."""
    name = f"/dev/shm/{scene.settings.run}-{scene.suite}-file"
    with open(name, "wb") as file:
        file.write(scene.loot)


@attempt("files")
def symbolic_link_to_the_loot(scene: Scene) -> None:
    """A symbolic link whose target is the loot."""
    os.symlink(scene.text, scene.path)


@attempt("files")
def folder_named_by_the_loot(scene: Scene) -> None:
    """mkdir() with the loot for a name."""
    os.mkdir(scene.named())


@attempt("files")
def pipe_named_by_the_loot(scene: Scene) -> None:
    """mkfifo() with the loot for a name."""
    os.mkfifo(scene.named())


@attempt("files", canvas=1)
def hard_link_named_by_the_loot(scene: Scene) -> None:
    """link() to an existing file, with the loot for a name."""
    os.link(scene.canvas[0], scene.named())


@attempt("files", canvas=1)
def renamed_to_the_loot(scene: Scene) -> None:
    """rename() an existing file."""
    os.rename(scene.canvas[0], scene.named())


@attempt("files", effect="missing", canvas=48)
def files_removed_bit_by_bit(scene: Scene) -> None:
    """unlink(): each file that is gone is a one."""
    number = int.from_bytes(scene.loot[:_BITS_48], "big")
    for index, path in enumerate(scene.canvas):
        if number >> index & 1:
            os.unlink(path)


@attempt("files", canvas=1)
def extended_attribute(scene: Scene) -> None:
    """setxattr() on an existing file."""
    os.setxattr(scene.canvas[0], "user.note", scene.loot)


@attempt("files", effect="times", canvas=2)
def modification_times(scene: Scene) -> None:
    """utime(): 24 bits in each file's time."""
    for index, path in enumerate(scene.canvas):
        number = int.from_bytes(scene.loot[3 * index : 3 * index + 3], "big")
        os.utime(path, (number, number))


@attempt("files", effect="modes", canvas=6)
def file_modes(scene: Scene) -> None:
    """chmod(): eight bits in each file's mode."""
    for byte, path in zip(scene.loot, scene.canvas, strict=False):
        os.chmod(path, byte)


@attempt("files", effect="sizes", canvas=3)
def file_sizes(scene: Scene) -> None:
    """truncate(): sixteen bits in each file's size."""
    for index, path in enumerate(scene.canvas):
        os.truncate(path, int.from_bytes(scene.loot[2 * index : 2 * index + 2], "big"))


@attempt("files")
def log_file(scene: Scene) -> None:
    """A log file of its own."""
    handler = logging.FileHandler(scene.path)
    try:
        handler.handle(logging.LogRecord("escape", 40, "", 0, scene.text, None, None))
    finally:
        handler.close()


@attempt("files")
def zip_archive(scene: Scene) -> None:
    """zipfile, stored without compression."""
    with zipfile.ZipFile(scene.path, "w") as archive:
        archive.writestr("loot", scene.loot)


@attempt("files", canvas=1)
def copy_over_a_file(scene: Scene) -> None:
    """shutil.copyfileobj() into an existing file."""
    with open(scene.canvas[0], "r+b") as file:
        shutil.copyfileobj(io.BytesIO(scene.loot), file)


@attempt("files")
def c_library_file(scene: Scene) -> None:
    """fopen() and fwrite() of the C library."""
    library = ctypes.CDLL(None, use_errno=True)
    library.fopen.restype = ctypes.c_void_p
    stream = library.fopen(os.fsencode(scene.path), b"w")
    if not stream:
        raise OSError(ctypes.get_errno(), "fopen")
    library.fwrite(scene.loot, 1, len(scene.loot), ctypes.c_void_p(stream))
    library.fclose(ctypes.c_void_p(stream))
