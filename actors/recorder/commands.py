"""`smartpole keys`, `recordings` and `segments`: a manager's tools, for the manager's computer.

The pole itself needs neither: it holds no private key and opens no segment (guideline 7.3(1)).
"""

from __future__ import annotations

__all__ = ["register"]

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys`, `recordings` and `segments` (entry point `smartpole.commands`)."""
    keys = subparsers.add_parser("keys", help="make a manager's key for recordings")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="make a private key, and beside it the public one")
    make.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the private key goes; the public one goes to FILE.pub",
    )
    make.set_defaults(handler=_make)

    recordings = subparsers.add_parser(
        "recordings", help="verify what a pole recorded, or make its index again"
    )
    actions = recordings.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify",
        help="find segments that were removed, changed, exchanged or put in; without the pole",
        description="Exit status: 0 if all is as the pole left it, 1 if something is not, 2 if "
        "that can't be said.",
    )
    verify.add_argument("folder", type=Path, metavar="FOLDER", help="the recordings, or a copy")
    verify.add_argument(
        "--key",
        required=True,
        metavar="PUB",
        help="the pole's public key (pole.pub of its recordings, noted when it was set up): a file "
        "or the key itself",
    )
    verify.add_argument(
        "--part", action="store_true", help="only some segments were copied: none is missed"
    )
    verify.add_argument("--json", action="store_true", help="for machines")
    verify.set_defaults(handler=_verify)
    reindex = actions.add_parser("reindex", help="make a lost or damaged index again")
    reindex.add_argument("folder", type=Path, metavar="FOLDER", help="the recordings")
    reindex.set_defaults(handler=_reindex)

    segments = subparsers.add_parser("segments", help="open a recorded segment, as its manager")
    actions = segments.add_subparsers(dest="action", required=True, metavar="ACTION")
    probe = actions.add_parser("probe", help="decrypt one in memory, and say what is in it")
    probe.add_argument(
        "segment", type=Path, metavar="FILE_OR_FOLDER", help="of a folder, the newest segment"
    )
    probe.add_argument(
        "--identity", type=Path, required=True, metavar="KEY", help="the manager's private key"
    )
    probe.set_defaults(handler=_probe)


def _make(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without loading cryptography.
    from pyrage import x25519

    private: Path = arguments.to
    public = private.with_name(private.name + ".pub")
    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    created = f"# created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by smartpole keys make\n"
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        _write_new(public, f"{created}{recipient}\n", 0o644)
        try:
            _write_new(private, f"{created}# public key: {recipient}\n{identity}\n", 0o600)
        except OSError:
            public.unlink()
            raise
    except OSError as error:
        if Path(error.filename) in (private, public) and isinstance(error, FileExistsError):
            why = (
                "is there already and is not overwritten: recordings made for a key can be opened "
                "with that key alone."
            )
        else:
            why = f"can't be written: {error.strerror}"
        print(f"smartpole keys: {error.filename} {why}", file=sys.stderr)
        return 1
    print(f"  private key: {private}")
    print("    It opens recordings. It belongs on the manager's computer, never on the pole.")
    print(f"  public key:  {public}")
    print("    It goes to the pole, as the recorder's setting `recipients`.")
    return 0


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that must not exist yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _probe(arguments: argparse.Namespace) -> int:
    from actors.recorder.probe import ProbeError, newest_segment, probe

    try:
        report = probe(newest_segment(arguments.segment), arguments.identity)
    except ProbeError as error:
        print(f"smartpole segments: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from actors.recorder.signing import KeyRefused, VerifyKey
    from actors.recorder.verify import verify

    try:
        given = Path(arguments.key)
        text = given.read_text("ascii", "replace") if given.is_file() else arguments.key
        key = VerifyKey.from_text(text)
        found = verify(arguments.folder, key, part=arguments.part)
    except (KeyRefused, OSError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        print(f"smartpole recordings: {why}", file=sys.stderr)
        return 2
    if arguments.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(found)
    return 0 if found.is_whole else 1


def _reindex(arguments: argparse.Namespace) -> int:
    from actors.recorder.index import StorageTrouble
    from actors.recorder.reindex import rebuild

    if not arguments.folder.is_dir():
        print(f"smartpole recordings: there is no folder {arguments.folder}", file=sys.stderr)
        return 2
    try:
        segments, unknown, gaps = rebuild(arguments.folder)
    except StorageTrouble as trouble:
        print(f"smartpole recordings: {trouble}", file=sys.stderr)
        return 1
    print(f"  {segments} segments and {gaps} gaps are in the index")
    if unknown:
        print(f"  {unknown} of the segments stand in no manifest: see smartpole recordings verify")
    return 0
