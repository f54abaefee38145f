"""`smartpole keys`, `recordings` and `segments`: a manager's tools, for the manager's computer.

The pole itself needs neither: it holds no private key and opens no segment (guideline 7.3(1)).
"""

from __future__ import annotations

__all__ = ["register"]

import argparse
import os
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `keys`, `recordings` and `segments` (entry point `smartpole.commands`)."""
    keys = subparsers.add_parser("keys", help="make a manager's keys: for recordings, to sign with")
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
    days = actions.add_parser("days", help="make a private key for each day, and their public keys")
    days.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="where the keys lie, or will"
    )
    days.add_argument(
        "--from",
        type=_day,
        metavar="DAY",
        dest="first",
        help="the first day, such as 2026-12-01 (today)",
    )
    days.add_argument(
        "--days", type=int, default=60, metavar="N", help="how many days (%(default)s)"
    )
    days.set_defaults(handler=_days)
    signer = actions.add_parser(
        "signer",
        help="make a person's key to sign orders with (holds, disclosures)",
        description="Each manager and deputy makes their own, on their own computer, and gives the "
        "public one to who configures the pole.",
    )
    signer.add_argument(
        "--name",
        required=True,
        help="of the role, such as site-manager: it stands in logs, so no person's",
    )
    signer.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="the public key goes to FILE.pub"
    )
    signer.set_defaults(handler=_signer)
    destroy = actions.add_parser(
        "destroy", help="destroy private keys of days, so that nobody can read these days any more"
    )
    destroy.add_argument("--in", type=Path, required=True, metavar="FOLDER", dest="folder")
    which = destroy.add_mutually_exclusive_group(required=True)
    which.add_argument("--day", type=_day, metavar="DAY", help="this day's key")
    which.add_argument("--before", type=_day, metavar="DAY", help="the keys of all days before")
    destroy.set_defaults(handler=_destroy)

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
        action="append",
        required=True,
        metavar="PUB",
        help="the pole's public key (pole.pub of its recordings, noted when it was set up), and "
        "with --ledger that of its ledger: files, or the keys themselves; one file may hold both",
    )
    verify.add_argument(
        "--ledger",
        type=Path,
        metavar="COPY",
        help="a copy of the pole's ledger, made before that of the recordings: without it nobody "
        "sees that the newest records were cut off",
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


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-12-01") from None


def _days(arguments: argparse.Namespace) -> int:
    from actors.recorder.day_keys import DAYS_FILE, make_days
    from actors.recorder.keys import day_of

    if not 1 <= arguments.days <= 1000:
        print("smartpole keys: from 1 to 1000 days can be made at once", file=sys.stderr)
        return 1
    first = arguments.first or day_of(time.time_ns() // 1000)
    folder: Path = arguments.to
    try:
        new = make_days(folder, first, arguments.days)
    except OSError as error:
        print(
            f"smartpole keys: {error.filename} can't be written: {error.strerror}", file=sys.stderr
        )
        return 1
    last = first + timedelta(days=arguments.days - 1)
    print(f"  {len(new)} new private keys, {first} to {last}: {folder}")
    print("    Each opens one day's recordings. They belong on the manager's computer alone;")
    print("    a copy of one, wherever it lies, undoes its destruction.")
    print(f"  public keys: {folder / DAYS_FILE}")
    print("    It goes to the pole, into the folder that the recorder's `recipients` names.")
    return 0


def _destroy(arguments: argparse.Namespace) -> int:
    from actors.recorder.day_keys import destroy

    def chosen(day: date) -> bool:
        return bool(day == arguments.day if arguments.day else day < arguments.before)

    try:
        gone = destroy(arguments.folder, chosen)
    except OSError as error:
        print(f"smartpole keys: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    if not gone:
        print("smartpole keys: there is no key of such a day; nothing was done", file=sys.stderr)
        return 1
    print(f"  destroyed: {', '.join(map(str, gone))}")
    print("    What was recorded on these days can't be read by anybody, if no copy of the key is")
    print("    left. Where the keys' own drive may keep old blocks, encrypt that drive.")
    return 0


def _make(arguments: argparse.Namespace) -> int:
    # Here and not above: the command line is put together without loading cryptography.
    from pyrage import x25519

    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    created = f"# created: {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by smartpole keys make\n"
    private: Path = arguments.to
    public = _write_pair(
        private, f"{created}# public key: {recipient}\n{identity}\n", f"{created}{recipient}\n"
    )
    if public is None:
        return 1
    print(f"  private key: {private}")
    print("    It opens recordings. It belongs on the manager's computer, never on the pole.")
    print(f"  public key:  {public}")
    print("    It goes to the pole, as the recorder's setting `recipients`.")
    return 0


def _signer(arguments: argparse.Namespace) -> int:
    from runtime.ledger.entry import is_word
    from runtime.ledger.note import SigningKey

    # A key's name in a note has no +, and a name in the configuration is a word.
    if not is_word(arguments.name) or "+" in arguments.name:
        print(
            f"smartpole keys: {arguments.name!r} can't be a signer's name. Accepted: letters, "
            "digits, '.', ':', '_' and '-', such as site-manager",
            file=sys.stderr,
        )
        return 1
    key = SigningKey.generate(arguments.name)
    private: Path = arguments.to
    public = _write_pair(private, key.secret_text(), f"{key.verifier}\n")
    if public is None:
        return 1
    print(f"  private key: {private}")
    print(
        "    It signs in this person's name. It belongs on their own computer, never on the pole."
    )
    print(f"  public key:  {public}")
    print("    Its line goes into the pole's configuration, to the custodian's `managers`:")
    print(f'    key = "{key.verifier}"')
    return 0


def _write_pair(private: Path, secret: str, shown: str) -> Path | None:
    """Write a new private key, and beside it the public one, whose file is returned; None, after
    saying why, where that is not possible."""
    public = private.with_name(private.name + ".pub")
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        _write_new(public, shown, 0o644)
        try:
            _write_new(private, secret, 0o600)
        except OSError:
            public.unlink()
            raise
    except OSError as error:
        if Path(error.filename) in (private, public) and isinstance(error, FileExistsError):
            why = (
                "is there already and is not overwritten: what was made for a key can be used with "
                "that key alone."
            )
        else:
            why = f"can't be written: {error.strerror}"
        print(f"smartpole keys: {error.filename} {why}", file=sys.stderr)
        return None
    return public


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
    from actors.recorder.heads import told_heads
    from actors.recorder.pole_keys import ACCEPTED, read_keys
    from actors.recorder.signing import KeyRefused
    from actors.recorder.verify import verify
    from runtime.errors import LedgerDamaged, LedgerTrouble
    from runtime.ledger.audit import LedgerFolder

    heads = None
    try:
        recordings, ledgers = read_keys(arguments.key)
        wanted = 1 if arguments.ledger is not None else 0
        if len(recordings) != 1 or len(ledgers) < wanted or len(ledgers) > 1:
            raise KeyRefused(
                f"{len(recordings)} keys of recordings and {len(ledgers)} of ledgers were given by "
                f"--key, and one of recordings is needed, with --ledger one of each. {ACCEPTED}."
            )
        if arguments.ledger is not None:
            heads = told_heads(LedgerFolder(arguments.ledger, ledgers[0]), recordings[0])
        found = verify(arguments.folder, recordings[0], heads=heads, part=arguments.part)
    except (KeyRefused, LedgerDamaged, LedgerTrouble, OSError) as error:
        why = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        print(f"smartpole recordings: {why}", file=sys.stderr)
        return 2
    if arguments.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(found)
    if not found.is_whole:
        return 1
    return 2 if found.told == 0 else 0  # what --ledger was to say can't be said


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
