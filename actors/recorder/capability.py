"""What the recorder may do with recordings, and what retention may do: two handles, one folder."""

from __future__ import annotations

__all__ = [
    "Deletion",
    "Held",
    "Kept",
    "OpenSegment",
    "RecordingExpiry",
    "RecordingStore",
    "Room",
    "StorageTrouble",
    "started_at",
]

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from actors.recorder.chain import (
    EMPTY,
    Begun,
    ChainHead,
    Gap,
    Segment,
    manifest,
    segment_name,
)  # fmt: skip
from actors.recorder.expiry import Deletion, Held, Kept, RecordingExpiry
from actors.recorder.files import (
    Room,
    as_trouble,
    digest_of,
    require_room,
    size_of,
    stored_names,
)  # fmt: skip
from actors.recorder.folder import mend_index, open_folder
from actors.recorder.index import PART, SegmentState, StorageTrouble, number_of, start_of
from actors.recorder.open_segment import OpenSegment, create_part, discard_part
from runtime import Authority, Capability, Reach, Storage
from runtime.clock import boot_id
from runtime.files import sync_folder


class _StoreSettings(Protocol):
    @property
    def recipients(self) -> Path: ...


class RecordingStore(
    Capability,
    kind=Storage("security"),
    rights="append encrypted segments; cannot list, read or delete",
):
    """Takes new segments in (guideline 7.1(1): nothing else may store pictures)."""

    @classmethod
    def reach(cls, settings: _StoreSettings) -> Reach:
        """Beside its folder, the managers' public keys, which the recorder encrypts to."""
        return Reach(read=(settings.recipients,))

    @classmethod
    def prepare(cls, authority: Authority) -> None:
        """See ``mend_index``: before the walls, because it takes long."""
        boot_id()
        mend_index(authority.require_folder())

    def __init__(self, authority: Authority) -> None:
        self._folder, self._index, self._chain = open_folder(authority)
        self._holder = authority.actor

    @property
    def chain_length(self) -> int:
        """How many records the chain of manifests has."""
        return self._chain.length

    def chain_head(self) -> ChainHead | None:
        """The last record of the chain of manifests, on the disk; None where there is none. Blocks;
        raises StorageTrouble."""
        with as_trouble("the chain of manifests can't be read"):
            return self._chain.head()

    def open_segment(
        self,
        *,
        place: str,
        started_at: int,
        codec: str,
        width: int,
        height: int,
        camera: str = "",
        head: bytes = b"",
        boottime: int | None = None,
    ) -> OpenSegment:
        """Begin a segment whose first frame was captured at ``started_at`` (µs since 1970).

        ``boottime`` says the same in µs since the computer started; without it, the segment is
        only as old as the wall clock says.
        ``head`` is the beginning of its ciphertext, by which a leftover is known again. Its empty
        file is there before the chain tells of it, so that what the chain tells of is missed when
        it is gone; chain and index tell of it before anything is in it.
        Blocks; raises StorageTrouble.
        """
        require_room(self._folder)
        facts = {"place": place, "codec": codec, "width": width, "height": height}
        made: list[tuple[str, int]] = []

        def create(begun: Begun) -> None:
            name = segment_name(begun)
            made.append((name, create_part(self._folder, name)))

        try:
            with as_trouble("a segment can't be begun"):
                begun = self._chain.append(
                    Begun,
                    create,
                    camera=camera or self._holder,
                    start=started_at,
                    head=sha256(head).hexdigest(),
                    head_size=len(head),
                    boot=boot_id() if boottime is not None else "",
                    boottime=boottime or 0,
                    **facts,
                )
        except StorageTrouble:
            for name, descriptor in made:
                discard_part(self._folder, name, descriptor)
            raise
        ((name, descriptor),) = made
        segment = OpenSegment(self._folder, descriptor, begun, self._index, self._chain)
        try:
            self._index.opened(
                name,
                camera=begun.camera,
                started_at=started_at,
                boot=begun.boot,
                boottime=begun.boottime,
                **facts,
            )
        except StorageTrouble:
            segment.cut(started_at, readable=False)
            raise
        if head:
            try:
                segment.write(head)
            except StorageTrouble:
                segment.cut(started_at, readable=False)
                raise
        return segment

    def last_end(self, camera: str) -> int | None:
        """When the last segment of that camera ended (µs since 1970), as far as the chain's newest
        records tell. Blocks; raises StorageTrouble."""
        with as_trouble("the chain of manifests can't be read"):
            ends = [
                record.end
                for record in self._chain.recent()
                if isinstance(record, Segment) and record.camera == camera and record.end
            ]
        return max(ends, default=None)

    def note_gap(
        self, *, camera: str, place: str, started_at: int, ended_at: int, reason: str
    ) -> None:
        """Record that a camera's pictures are missing from then to then (µs since 1970).

        Blocks; raises StorageTrouble.
        """
        with as_trouble("a gap can't be recorded"):
            self._chain.append(
                Gap, camera=camera, place=place, start=started_at, end=ended_at, reason=reason
            )
        self._index.missed(
            camera=camera, place=place, started_at=started_at, ended_at=ended_at, reason=reason
        )

    def adopt_leftovers(self) -> int:
        """Close what a crashed pole left open, and say how many segments that were.

        They play up to where they break off, and get the manifest that they lack. Segments that
        another recorder is writing now are left alone. Blocks; raises StorageTrouble.
        """
        adopted = 0
        with as_trouble("leftover segments can't be closed"):
            for name in sorted(stored_names(self._folder, PART)):
                adopted += self._adopt(name)
            present = stored_names(self._folder)
            # What was written last: renamed, but neither chain nor index were told.
            known = list(self._chain.recent())
            closed = {record.begun for record in known if isinstance(record, Segment)}
            for record in known:
                if isinstance(record, Begun) and record.number not in closed:
                    name = segment_name(record)
                    if name in present:
                        self._sign_leftover(record, self._folder / name)
        for name in sorted(self._index.names(state=SegmentState.OPEN)):
            if name in present:
                self._close_in_index(name)
        return adopted

    def _adopt(self, name: str) -> bool:
        part = self._folder / (name + PART)
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # another recorder has just finished it
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            begun = self._begun(name)
            closed = self._manifest_of(begun) if begun is not None else None
            size = os.fstat(descriptor).st_size
            if size < begun.head_size if begun is not None else not size:
                # It broke off before anything was in it that could be read.
                if begun is not None and closed is None:
                    self._chain.append(
                        Segment, **manifest(begun, None, 0, sha256().hexdigest(), EMPTY)
                    )
                part.unlink()
                self._index.forget([name])
                return False
            if begun is not None and closed is None:
                self._sign_leftover(begun, part)
            part.rename(self._folder / name)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        sync_folder(self._folder)
        if name not in self._index.started():
            facts: dict[str, object] = {"place": "", "started_at": start_of(name)}
            if begun is not None:
                facts = {
                    "camera": begun.camera, "place": begun.place, "started_at": begun.start,
                    "boot": begun.boot, "boottime": begun.boottime, "codec": begun.codec,
                    "width": begun.width, "height": begun.height,
                }  # fmt: skip
            self._index.opened(name, **facts)
        self._close_in_index(name)
        return True

    def _sign_leftover(self, begun: Begun, path: Path) -> None:
        """Give it a manifest; not if it is another file than the one that was begun."""
        if digest_of(path, size=begun.head_size) != begun.head:
            return
        status = path.stat()
        # Nobody knows when its last frame was captured; when it was last written to is near it.
        end = max(begun.start, status.st_mtime_ns // 1000)
        self._chain.append(
            Segment,
            **manifest(begun, end, status.st_size, digest_of(path), SegmentState.CUT.value),
        )

    def _close_in_index(self, name: str) -> None:
        begun = self._begun(name)
        closed = self._manifest_of(begun) if begun is not None else None
        state, ended_at = SegmentState.CUT, closed.end if closed is not None else None
        if closed is not None and closed.state == SegmentState.COMPLETE.value:
            state = SegmentState.COMPLETE
        size = size_of(self._folder / name)
        self._index.closed(name, ended_at=ended_at, size=size, state=state)

    def _begun(self, name: str) -> Begun | None:
        """The record by which a segment of that name was begun, if the chain has it."""
        number = number_of(name)
        for record in self._chain.around(number) if number else ():
            if isinstance(record, Begun) and record.number == number:
                return record if segment_name(record) == name else None
        return None

    def _manifest_of(self, begun: Begun) -> Segment | None:
        for record in self._chain.recent():
            if isinstance(record, Segment) and record.begun == begun.number:
                return record
        return None


def started_at(name: str) -> int | None:
    """When a segment's first frame was captured (µs since 1970), by its name; None where that is no
    segment's name."""
    return start_of(name)
