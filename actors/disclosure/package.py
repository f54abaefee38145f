"""Making a package: a plain folder that the recipient can open and verify with common tools.

    cover.html          what this is, for people; to be printed
    video/…             the segments, as age files for the recipient: age -d -i KEY FILE
    headers/…           the headers that the pole gave them, for comparing with its signatures
    manifests.log       the pole's signed manifests of these segments, gaps and deletions
    orders/…            who asked for it, who approved, who opened it; each signed by them
    ledger/…            that these orders stand in the pole's ledger
    contents.json       the list of it all, for machines
    SHA256SUMS          for ``sha256sum -c``
    export.note         the sums, signed by whoever made the package

It is written beside its place and moved there when it is whole. No picture is ever on the disk, nor
in memory but for the 64 KiB that are looked at.
"""

from __future__ import annotations

__all__ = ["Job", "Made", "make_package"]

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from actors.custody.order import DisclosureExport, DisclosureRequest, SignedOrder, sign_order
from actors.disclosure.account import Account, Kind, Piece
from actors.disclosure.contents import (
    APPROVAL,
    CONTENTS,
    COVER,
    EXPORT,
    MANIFESTS,
    OPENING,
    REQUEST,
    SUMS,
    Contents,
    Film,
    LeftOut,
    Why,
    header_path,
    proof_path,
    video_path,
)
from actors.disclosure.cover import render_cover
from actors.disclosure.errors import CannotOpen, DisclosureRefused
from actors.disclosure.recordings import Recordings, SignedLine, range_of
from actors.disclosure.rewrap import Identity, rewrap
from actors.disclosure.sums import write_sums
from actors.recorder.age import Recipient
from actors.recorder.chain import Segment
from actors.recorder.files import digest_of
from runtime.files import sync_folder
from runtime.ledger.note import SigningKey
from runtime.ledger.proof import InclusionProof

_PART = ".part"


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a package is made from. The orders were accepted by the pole's custodian."""

    recordings: Recordings
    request: SignedOrder
    approval: SignedOrder
    opening: SignedOrder
    proofs: Sequence[InclusionProof]
    """That request, approval and opening stand in the ledger, in this order."""
    ledger_key: str
    identities: Sequence[Identity]
    signer: SigningKey
    now: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Made:
    """A package that is ready to be handed over."""

    folder: Path
    export: SignedOrder
    """To be told to the pole."""
    account: Account
    contents: Contents


def make_package(job: Job, target: Path) -> Made:
    """Make it. Raises DisclosureRefused and CannotOpen, and leaves nothing behind then; OSError."""
    part = target.with_name(f".{target.name}{_PART}")
    if target.exists():
        raise DisclosureRefused(
            f"{target} is there already, and is not overwritten. Name another folder."
        )
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    try:
        made = _Maker(job, part).make(target)
        part.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return made


class _Maker:
    def __init__(self, job: Job, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._sums: dict[str, str] = {}
        order = job.request.order
        assert isinstance(order, DisclosureRequest)
        self._request = order
        self._recipient = Recipient(order.recipient)
        self._films: list[Film] = []
        self._left_out: list[LeftOut] = []

    def make(self, target: Path) -> Made:
        account, lines = self._account()
        self._copy(account, lines)
        if absent := {one.name for one in self._left_out if one.why is Why.ABSENT}:
            # Retention may have come meanwhile; then the pole has signed it by now.
            account, lines = self._account()
            deleted = {piece.what for piece in account.missing} & absent
            self._left_out = [one for one in self._left_out if one.name not in deleted]
        if not self._films:
            raise DisclosureRefused(_nothing(account, self._left_out))
        self._put(MANIFESTS, b"".join(line.data + b"\n" for line in lines))
        for path, signed in (
            (REQUEST, self._job.request),
            (APPROVAL, self._job.approval),
            (OPENING, self._job.opening),
        ):
            self._put(path, signed.data)
        for path, proof in zip((REQUEST, APPROVAL, OPENING), self._job.proofs, strict=True):
            self._put(proof_path(path), proof.to_text().encode())
        contents = Contents(
            made=f"{self._job.now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            recordings_key=str(self._job.recordings.key),
            ledger_key=self._job.ledger_key,
            films=tuple(self._films),
            left_out=tuple(self._left_out),
        )
        encoded = msgspec.json.format(msgspec.json.encode(contents), indent=2)
        self._put(CONTENTS, encoded + b"\n")
        cover = render_cover(
            contents=contents,
            account=account,
            request=self._job.request,
            approver=self._job.approval.signer,
            opener=self._job.opening.signer,
        )
        self._put(COVER, cover)
        export = self._sign()
        for folder in (*self._folder.iterdir(), self._folder):
            if folder.is_dir():
                sync_folder(folder)
        return Made(target, export, account, contents)

    def _account(self) -> tuple[Account, list[SignedLine]]:
        recordings = self._job.recordings
        account = recordings.account(range_of(self._request))
        return account, recordings.lines(account.numbers)

    def _copy(self, account: Account, lines: Iterable[SignedLine]) -> None:
        manifests = {
            line.record.begun: line.record for line in lines if isinstance(line.record, Segment)
        }
        (self._folder / "video").mkdir(mode=0o700)
        for piece in account.segments:
            why = self._copy_one(piece, manifests[piece.number])
            if why is not None:
                self._left_out.append(
                    LeftOut(
                        name=piece.what,
                        camera=piece.camera,
                        start=piece.start,
                        end=piece.end,
                        why=why,
                    )
                )

    def _copy_one(self, piece: Piece, manifest: Segment) -> Why | None:
        """Says why it could not be, if so."""
        path = self._folder / video_path(piece.what)
        source_path = self._job.recordings.folder / piece.what
        try:
            with source_path.open("rb") as source, open(_create(path), "wb") as target:
                done = rewrap(source, target, self._job.identities, self._recipient)
                target.flush()
                os.fsync(target.fileno())
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return Why.ABSENT
        except CannotOpen as refusal:
            path.unlink(missing_ok=True)
            lies_there = digest_of(source_path)
            is_whole = refusal.lacks_key and lies_there == manifest.sha256
            return Why.UNOPENED if is_whole else Why.CHANGED
        is_signed = (done.original_size, done.original) == (manifest.size, manifest.sha256)
        if not is_signed or not done.readable:
            path.unlink()
            return Why.TORN if is_signed else Why.CHANGED
        self._sums[video_path(piece.what)] = done.digest
        self._put(header_path(piece.what), done.header)
        self._films.append(
            Film(
                name=piece.what,
                camera=piece.camera,
                start=piece.start,
                end=piece.end,
                size=done.size,
                sha256=done.digest,
                breaks_off=not done.is_whole,
            )
        )
        return None

    def _put(self, name: str, data: bytes) -> None:
        _write(self._folder / name, data)
        self._sums[name] = sha256(data).hexdigest()

    def _sign(self) -> SignedOrder:
        sums = write_sums(self._sums)
        _write(self._folder / SUMS, sums)
        export = sign_order(
            DisclosureExport(
                pole=self._request.pole,
                made=self._job.now().astimezone(UTC).replace(microsecond=0),
                request=self._job.request.id,
                package=sha256(sums).hexdigest(),
                segments=len(self._films),
            ),
            self._job.signer,
        )
        _write(self._folder / EXPORT, export.data)
        return export


def _nothing(account: Account, left_out: Sequence[LeftOut]) -> str:
    found = [one.why.value for one in left_out]
    found += [piece.kind.value for piece in account.missing if piece.kind is not Kind.UNACCOUNTED]
    seen = ", ".join(f"{found.count(why)} {why}" for why in sorted(set(found)))
    return (
        "there is nothing to hand over: of the cameras and the time that were approved, the "
        f"folder has no segment that can be opened ({seen or 'nothing was recorded'}). Is it the "
        "right folder, the whole of it, and the right private key?"
    )


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _write(path: Path, data: bytes) -> None:
    with open(_create(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
