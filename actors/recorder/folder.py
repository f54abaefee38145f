"""Opening the folder of recordings, and having its index whole."""

from __future__ import annotations

__all__ = ["mend_index", "open_folder"]

from pathlib import Path

from actors.recorder.chain import Chain
from actors.recorder.files import as_trouble, stored_names
from actors.recorder.index import IndexDamaged, SegmentIndex
from actors.recorder.reindex import INDEX, rebuild
from actors.recorder.signing import KeyRefused, PoleKey
from runtime import Authority, Unrecoverable


def open_folder(authority: Authority) -> tuple[Path, SegmentIndex, Chain]:
    """Folder, index and chain. Raises StorageTrouble, and Unrecoverable where the key is none."""
    try:
        with as_trouble("the folder for recordings can't be used"):
            folder = authority.require_folder()
            index = SegmentIndex(folder / INDEX)
            return folder, index, Chain(folder, PoleKey.of_folder(folder))
    except KeyRefused as refusal:
        raise Unrecoverable(
            f"{refusal}. Without it no manifest can be signed, and nothing may be recorded that "
            "could be exchanged unseen"
        ) from None


def mend_index(folder: Path) -> None:
    """Make the index again where it is lost or damaged: it holds nothing that the segments and
    the chain do not tell, and recording must not wait for somebody to come."""
    path = folder / INDEX
    is_lost = not path.exists() and bool(stored_names(folder))
    if path.exists():
        try:
            SegmentIndex(path).started()
        except IndexDamaged:
            is_lost = True
    if is_lost:
        rebuild(folder)
