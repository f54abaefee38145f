"""``smartpole ledger``: verifying, showing and proving a ledger, on the pole or on a copy."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from runtime.blueprint import load_blueprint
from runtime.errors import LedgerDamaged, NoteRefused, SmartpoleError
from runtime.ledger.audit import Audit, LedgerFolder
from runtime.ledger.checkpoint import read_checkpoint
from runtime.ledger.entry import (
    LedgerRecord,
    decode_record,
    digests_in_numbers,
    load_entry_types,
)
from runtime.ledger.files import CHECKPOINT, public_key
from runtime.ledger.note import Note, SignatureType, SigningKey, VerifierKey, base64_of
from runtime.ledger.proof import ConsistencyProof, InclusionProof
from runtime.ledger.writer import kept_checkpoint_path, ledger_folder

_OK, _FAILED = 0, 1
_WHERE = "a pole's TOML file, or the folder of a ledger or a copy of it"
_OWN_KEY = (
    "the key is the folder's own: whoever replaced the whole folder replaced the key as well. "
    "Name the one that you have kept by --key"
)
_Parsers = argparse._SubParsersAction


def register(subparsers: _Parsers[argparse.ArgumentParser]) -> None:
    """Add ``ledger`` and its actions."""
    ledger = subparsers.add_parser("ledger", help="verify, show and prove what a pole has recorded")
    actions = ledger.add_subparsers(metavar="ACTION", required=True)

    def add(
        name: str, handler: Callable[[argparse.Namespace], int], text: str, *, where: str = _WHERE
    ) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("where", type=Path, metavar="WHERE", help=where)
        action.set_defaults(handler=handler)
        return action

    verify = add(
        "verify",
        _verify,
        "verify every entry, the root and the signature; or one proof",
        where=f"{_WHERE}; or a file that `prove` made",
    )
    show = add("show", _show, "show entries in plain words")
    show.add_argument("--kind", action="append", default=[], help="only these kinds")
    show.add_argument("--last", type=_whole, metavar="N", help="only the last N")
    prove = add("prove", _prove, "prove that an entry is in the log, or that the log only grew")
    what = prove.add_mutually_exclusive_group(required=True)
    what.add_argument("--entry", type=_whole, metavar="N", help="its place, counted from 0")
    what.add_argument("--since", type=Path, metavar="FILE", help="a checkpoint that you have kept")
    prove.add_argument("--to", type=Path, metavar="FILE", help="write it there")
    cosign = add("cosign", _cosign, "as a witness, sign that you saw the log and that it only grew")
    cosign.add_argument(
        "--with", dest="secret", type=Path, required=True, metavar="FILE", help="your private key"
    )
    cosign.add_argument(
        "--since",
        type=Path,
        metavar="FILE",
        help="what you cosigned last; needed but for the first time",
    )
    cosign.add_argument("--to", type=Path, required=True, metavar="FILE", help="write it there")
    for action in (verify, show, prove, cosign):
        action.add_argument("--key", metavar="KEY", help="the pole's public key, or its file")
    for action in (verify, show, prove):
        action.add_argument("--json", action="store_true", help="print JSON for a machine")
    verify.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="one that you have kept: the log must go on from it",
    )
    verify.add_argument(
        "--witness",
        action="append",
        default=[],
        metavar="KEY",
        help="a witness's public key, or its file, who must have cosigned",
    )
    add("key", _key, "print the pole's public key, to be kept elsewhere")
    witness = actions.add_parser("make-witness", help="make a witness's key, on its own computer")
    witness.add_argument("--name", required=True, help="such as city.example/witness")
    witness.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="the public key goes to FILE.pub"
    )
    witness.set_defaults(handler=_make_witness)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("Expected a whole number, 0 or above")
    return int(text)


# -- what is meant ------------------------------------------------------------------------------


def _folder_of(where: Path) -> tuple[Path, Path | None]:
    """The ledger's folder, and the checkpoint that the pole keeps elsewhere, if that is at hand."""
    if where.is_dir():
        inner = ledger_folder(where)
        if not (where / CHECKPOINT).exists() and (inner / CHECKPOINT).exists():
            return inner, kept_checkpoint_path(where)
        return where, None
    state = load_blueprint(where).pole.state
    return ledger_folder(state), kept_checkpoint_path(state)


def _key_of(text: str) -> VerifierKey:
    path = Path(text)
    if len(text) < 256 and path.is_file():
        text = _read(path).decode("utf-8", "replace")
    return VerifierKey.from_text(text)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SmartpoleError(f"{path} can't be read: {error.strerror}.") from None


def _write(path: Path, data: bytes, *, mode: int = 0o644, new: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if new else os.O_TRUNC)
    try:
        with open(os.open(path, flags, mode), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise SmartpoleError(f"{path} is there already, and is not overwritten.") from None
    except OSError as error:
        raise SmartpoleError(f"{path} can't be written: {error.strerror}.") from None


def _open(arguments: argparse.Namespace) -> tuple[LedgerFolder, Path | None, list[str]]:
    """The ledger that is meant, the pole's kept checkpoint, and what is to be said about it."""
    warnings = load_entry_types()
    folder, kept = _folder_of(arguments.where)
    if arguments.key is None:
        warnings.append(_OWN_KEY)
    key = _key_of(arguments.key) if arguments.key is not None else public_key(folder)
    return LedgerFolder(folder, key), kept, warnings


# -- verify -------------------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> int:
    work = _verify_ledger
    if arguments.where.is_file():
        data = _read(arguments.where)
        if InclusionProof.is_proof(data):
            work = _verify_entry
        elif ConsistencyProof.is_proof(data):
            work = _verify_growth
    if not arguments.json:
        return work(arguments)
    try:
        return work(arguments)
    except SmartpoleError as error:
        _print_json({"ok": False, "error": str(error)})
        return _FAILED


def _verify_ledger(arguments: argparse.Namespace) -> int:
    ledger, kept, warnings = _open(arguments)
    files = list(arguments.checkpoint)
    if kept is not None and kept.is_file():
        files.append(kept)
    found = ledger.audit(
        [(str(path), _read(path)) for path in files],
        [_key_of(text) for text in arguments.witness],
    )
    if found.unknown:
        warnings.append(f"kinds that no package here declares: {', '.join(found.unknown)}")
    if arguments.json:
        _print_json(_audit_json(found, ledger.key, warnings))
        return _OK
    print(f"✓ {ledger.folder}: {_count(found.size)}, as the pole signed them")
    print(f"  log      {found.origin}")
    print(f"  key      {ledger.key}")
    print(f"  root     {base64_of(found.root)}")
    if found.first is not None and found.last is not None:
        print(f"  time     {_time(found.first)} to {_time(found.last)}")
    print(f"  kinds    {', '.join(f'{n:,} {kind}' for kind, n in found.kinds.items()) or 'none'}")
    for one in found.kept:
        print(f"  ✓ goes on from {one.source} ({_count(one.size)})")
    for seen in found.cosigned:
        when = _time(datetime.fromtimestamp(seen.at, UTC))
        print(f"  ✓ {seen.witness} saw {_count(seen.size)} of it at {when}")
    if found.unsigned or found.torn:
        print(
            f"  · after these, {_count(found.unsigned)} not signed yet and {found.torn} bytes of "
            "one not whole: the copy was made in the middle of writing, or power was cut"
        )
    for warning in warnings:
        print(f"  ! {warning}")
    return _OK


def _audit_json(found: Audit, key: VerifierKey, warnings: Sequence[str]) -> dict[str, Any]:
    return {
        "ok": True,
        "origin": found.origin,
        "key": str(key),
        "size": found.size,
        "root": base64_of(found.root),
        "unsigned": found.unsigned,
        "torn": found.torn,
        "first": found.first,
        "last": found.last,
        "kinds": found.kinds,
        "unknown": found.unknown,
        "kept": [{"source": one.source, "size": one.size} for one in found.kept],
        "cosigned": [
            {"witness": one.witness, "at": one.at, "size": one.size} for one in found.cosigned
        ],
        "warnings": warnings,
    }


def _verify_entry(arguments: argparse.Namespace) -> int:
    warnings = load_entry_types()
    proof = InclusionProof.parse(_read(arguments.where))
    there, note = proof.verify(_required_key(arguments))
    seen = _cosignatures(arguments, note)
    record, _ = decode_record(proof.line)
    if arguments.json:
        _print_json(
            {
                "ok": True,
                "origin": there.origin,
                "index": proof.index,
                "size": there.size,
                "record": record,
                "cosigned": [{"witness": name, "at": at} for name, at in seen],
                "warnings": warnings,
            }
        )
        return _OK
    print(f"✓ this is entry {proof.index} of the log {there.origin} with {_count(there.size)}:")
    print(_line(proof.index, record))
    _print_cosignatures(seen)
    return _OK


def _verify_growth(arguments: argparse.Namespace) -> int:
    key = _required_key(arguments)
    if len(arguments.checkpoint) != 1:
        raise NoteRefused(
            "a proof that a log only grew is verified with the older checkpoint: name the one that "
            "you have kept by --checkpoint."
        )
    old, _ = read_checkpoint(_read(arguments.checkpoint[0]), key)
    there, note = ConsistencyProof.parse(_read(arguments.where)).verify(old, key)
    seen = _cosignatures(arguments, note)
    if arguments.json:
        _print_json(
            {
                "ok": True,
                "origin": there.origin,
                "old_size": old.size,
                "size": there.size,
                "cosigned": [{"witness": name, "at": at} for name, at in seen],
            }
        )
        return _OK
    print(f"✓ the log {there.origin} with {_count(there.size)} goes on from that with {old.size:,}")
    _print_cosignatures(seen)
    return _OK


def _required_key(arguments: argparse.Namespace) -> VerifierKey:
    if arguments.key is None:
        raise NoteRefused("a proof is verified with the pole's public key: name it by --key.")
    return _key_of(arguments.key)


def _cosignatures(arguments: argparse.Namespace, note: Note) -> list[tuple[str, int]]:
    """When each witness that is asked for signed this note."""
    seen = []
    for witness in map(_key_of, arguments.witness):
        at = note.verify(witness)
        if at is None:
            raise NoteRefused(f"the proof's checkpoint is not cosigned by {witness.name}.")
        seen.append((witness.name, at))
    return seen


def _print_cosignatures(seen: Sequence[tuple[str, int]]) -> None:
    for name, at in seen:
        print(f"  ✓ {name} saw it at {_time(datetime.fromtimestamp(at, UTC))}")


# -- show ---------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    ledger, _, warnings = _open(arguments)
    status = _OK
    try:
        ledger.audit()
    except LedgerDamaged as damage:
        status = _FAILED
        print(f"✗ {damage}\n  What follows is not what the pole signed.", file=sys.stderr)
    kinds = frozenset(arguments.kind)
    entries = ledger.entries(wanted=lambda record: not kinds or record.kind in kinds)
    chosen = entries if arguments.last is None else deque(entries, maxlen=arguments.last)
    for index, record, _ in chosen:
        if arguments.json:
            sys.stdout.write(_record_json(index, record))
        else:
            print(_line(index, record))
    for warning in warnings:
        print(f"! {warning}", file=sys.stderr)
    return status


def _record_json(index: int, record: LedgerRecord) -> str:
    whole = {"index": index, **msgspec.structs.asdict(record)}
    return f"{msgspec.json.encode(whole).decode()}\n"


def _line(index: int, record: LedgerRecord) -> str:
    fields = msgspec.json.decode(record.entry)
    for name in digests_in_numbers(record.kind) & fields.keys():
        if numbers := fields[name]:
            fields[name] = "".join(f"{number:08x}" for number in numbers)
    shown = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
    return f"{index:>8}  {_time(record.at)}  {record.by:<12} {record.kind:<16} {shown}"


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else f'"{value}"'
    return msgspec.json.encode(value).decode()


# -- prove, cosign ------------------------------------------------------------------------------


def _prove(arguments: argparse.Namespace) -> int:
    ledger, _, warnings = _open(arguments)
    for warning in warnings:
        print(f"! {warning}", file=sys.stderr)
    proof: InclusionProof | ConsistencyProof
    if arguments.entry is not None:
        proof = ledger.prove(arguments.entry)
        made = {"index": proof.index, "entry": base64_of(proof.line)}
    else:
        old, _ = read_checkpoint(_read(arguments.since), ledger.key)
        proof = ledger.prove_growth(old)
        made = {"old_size": old.size, "old_root": base64_of(old.root)}
    text = proof.to_text()
    if arguments.json:
        path = [base64_of(one) for one in proof.path]
        whole = {**made, "path": path, "checkpoint": proof.checkpoint.decode()}
        text = f"{msgspec.json.format(msgspec.json.encode(whole)).decode()}\n"
    if arguments.to is None:
        sys.stdout.write(text)
    else:
        _write(arguments.to, text.encode())
        print(f"wrote {arguments.to}")
    return _OK


def _cosign(arguments: argparse.Namespace) -> int:
    try:
        secret = SigningKey.from_text(_read(arguments.secret).decode("utf-8", "replace"))
    except NoteRefused:
        raise NoteRefused(f"{arguments.secret} holds no private key of a witness.") from None
    if secret.verifier.type is not SignatureType.COSIGNATURE:
        raise NoteRefused(
            f"{arguments.secret} is not a witness's key. Make one: smartpole ledger make-witness."
        )
    ledger, _, warnings = _open(arguments)
    since = [] if arguments.since is None else [(str(arguments.since), _read(arguments.since))]
    if since:
        ledger.audit(since, [])
        if Note.parse(since[0][1]).verify(secret.verifier) is None:
            raise NoteRefused(f"{arguments.since} was not cosigned by {secret.verifier.name}.")
    else:
        ledger.audit()
        warnings.append("nothing was compared with what you cosigned last: name it by --since")
    note = Note.parse(ledger.note).signed(secret, time=int(time.time()))
    _write(arguments.to, bytes(note))
    print(f"✓ cosigned {_count(ledger.signed.size)} of {ledger.signed.origin}: {arguments.to}")
    for warning in warnings:
        print(f"  ! {warning}")
    return _OK


# -- keys ---------------------------------------------------------------------------------------


def _key(arguments: argparse.Namespace) -> int:
    print(public_key(_folder_of(arguments.where)[0]))
    return _OK


def _make_witness(arguments: argparse.Namespace) -> int:
    secret = SigningKey.generate(arguments.name, SignatureType.COSIGNATURE)
    public = arguments.to.with_name(f"{arguments.to.name}.pub")
    _write(arguments.to, secret.secret_text().encode(), mode=0o600, new=True)
    _write(public, f"{secret.verifier}\n".encode(), new=True)
    print(f"  private key: {arguments.to}\n    It belongs on the witness's computer alone.")
    print(f"  public key:  {public}\n    For everybody who verifies: --witness {public}")
    return _OK


# -- words --------------------------------------------------------------------------------------


def _count(entries: int) -> str:
    return f"{entries:,} {'entry' if entries == 1 else 'entries'}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())
