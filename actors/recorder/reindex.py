"""Making the index again, from the segments that are there and the chain that tells of them."""

from __future__ import annotations

__all__ = ["INDEX", "Rebuilt", "rebuild"]

from pathlib import Path
from typing import Any, NamedTuple

from actors.recorder.chain import Begun, Gap, Segment, chain_files, lines_of, segment_name
from actors.recorder.files import as_trouble, size_of, stored_names
from actors.recorder.index import PART, IndexDamaged, SegmentIndex, SegmentState, start_of

INDEX = "index.db"


class Rebuilt(NamedTuple):
    """What the new index holds."""

    segments: int
    unknown: int
    """Of these, files of which the chain tells nothing."""
    gaps: int


def rebuild(folder: Path) -> Rebuilt:
    """Make the index again. Segments are never touched; they need not be there when it is lost.

    Where there is a database, its rows are replaced in one transaction, so a recorder may be at
    work. One that is no database any more is removed: it may name what was deleted long ago.
    Blocks; raises StorageTrouble.
    """
    path = folder / INDEX
    with as_trouble("the index of recordings can't be made again"):
        files = {name: folder / name for name in stored_names(folder)}
        open_files = {name: folder / (name + PART) for name in stored_names(folder, PART)}
        rows, gaps = _told(folder, {**open_files, **files})
        for name in open_files.keys() - files.keys():
            rows[name] |= {"state": SegmentState.OPEN.value, "bytes": 0, "ended_at": None}
        try:
            index = SegmentIndex(path)
        except IndexDamaged:
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            index = SegmentIndex(path)
    index.replace_all(rows.values(), gaps)
    unknown = sum(1 for row in rows.values() if row["codec"] is None)
    return Rebuilt(len(rows), unknown, len(gaps))


def _told(
    folder: Path, files: dict[str, Path]
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """A row for each file, as far as the chain knows of it, and one for each gap."""
    rows: dict[str, dict[str, Any]] = {
        name: {
            "name": name,
            "camera": "",
            "place": "",
            "started_at": start_of(name),
            "boot": "",
            "boottime": 0,
            "ended_at": None,
            "codec": None,
            "width": None,
            "height": None,
            "bytes": size_of(path),
            "state": SegmentState.CUT.value,
        }
        for name, path in files.items()
    }
    gaps: list[dict[str, Any]] = []
    for path in chain_files(folder).values():
        for line in lines_of(path):
            match line.record:
                case Begun() as begun if (name := segment_name(begun)) in rows:
                    rows[name] |= {
                        "camera": begun.camera,
                        "place": begun.place,
                        "started_at": begun.start,
                        "boot": begun.boot,
                        "boottime": begun.boottime,
                        "codec": begun.codec,
                        "width": begun.width,
                        "height": begun.height,
                    }
                case Segment() as closed if (name := segment_name(closed)) in rows:
                    rows[name] |= {"ended_at": closed.end, "state": closed.state}
                case Gap() as gap:
                    gaps.append(
                        {
                            "camera": gap.camera,
                            "place": gap.place,
                            "started_at": gap.start,
                            "ended_at": gap.end,
                            "reason": gap.reason,
                        }
                    )
    return rows, gaps
