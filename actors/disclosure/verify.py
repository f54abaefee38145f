"""Verifying a package, offline: with nothing but the folder and the pole's two public keys.

What is believed goes out from these keys alone. The ledger's key proves the orders; the order by
which the recordings were opened names the key of whoever made the package; that key signed the
sums, and so every file. The recordings' key signed what was recorded, missed and deleted.
"""

from __future__ import annotations

__all__ = ["Finding", "Verified", "verify_package"]

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from actors.custody.order import (
    LONGEST_ORDER,
    DisclosureApproval,
    DisclosureExport,
    DisclosureOpening,
    DisclosureRequest,
    Order,
    OrderUnreadable,
    SignedOrder,
    read_order,
)
from actors.disclosure.account import Account, Piece, account_for
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
    header_path,
    proof_path,
    video_path,
)
from actors.disclosure.errors import CannotOpen
from actors.disclosure.keys import PoleKeys
from actors.disclosure.recordings import range_of
from actors.disclosure.rewrap import payload_of
from actors.disclosure.sums import SumsUnreadable, read_sums
from actors.ledger.receipts import Disclosed, DisclosureStep, numbers_of
from actors.recorder.chain import ChainRecord, Segment, parse_line
from actors.recorder.files import digest_of
from runtime.errors import LedgerRefused, NoteRefused
from runtime.ledger.entry import decode_record
from runtime.ledger.note import VerifierKey
from runtime.ledger.proof import InclusionProof

O = TypeVar("O", bound=Order)  # noqa: E741

_LONGEST = 64 * 1024 * 1024
"""Bytes of any file that is read whole."""
_AT_ONCE = 1024 * 1024


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was handed over, or that no signature of the pole bears out."""

    kind: str
    """``added``, ``removed``, ``changed`` or ``false``."""
    what: str
    """The file."""
    text: str


@dataclass(slots=True)
class Verified:
    """What was found. It is good if there are no findings; what is missing is none."""

    folder: Path
    findings: list[Finding] = field(default_factory=list)
    request: SignedOrder | None = None
    approver: str = ""
    opener: str = ""
    package: str = ""
    """SHA-256 of the sums: what the pole's ledger calls the package."""
    account: Account = field(default_factory=Account)
    left_out: dict[str, str] = field(default_factory=dict)
    """Of segments that the pole signed and are not here: why, as the manager said."""
    films: int = 0
    """Segments that are here as the pole signed them."""

    @property
    def is_good(self) -> bool:
        return not self.findings

    @property
    def missing(self) -> Iterator[tuple[Piece, str]]:
        """What was asked for and is not here, and why."""
        for piece in self.account.pieces:
            if piece.what in self.left_out:
                yield piece, self.left_out[piece.what]
            elif piece in self.account.missing:
                yield piece, piece.kind.value


def verify_package(folder: Path, keys: PoleKeys) -> Verified:
    """Verify everything. Blocks; raises OSError where the folder can't be read."""
    return _Verifier(folder, keys).verify()


class _Verifier:
    def __init__(self, folder: Path, keys: PoleKeys) -> None:
        self._folder = folder
        self._keys = keys
        self._found = Verified(folder)

    def verify(self) -> Verified:
        present = self._present()
        self._judge_sums(present)
        orders = self._judge_orders(present)
        contents = self._judge_contents(present)
        if orders is not None:
            self._judge_recordings(present, orders, contents)
        return self._found

    def _say(self, kind: str, what: str, text: str) -> None:
        if kind in ("added", "removed") and any(one.what == what for one in self._found.findings):
            return  # one reason for that is enough
        self._found.findings.append(Finding(kind, what, text))

    # -- files ------------------------------------------------------------------------------------

    def _present(self) -> set[str]:
        """Paths of plain files in the folder."""
        files: set[str] = set()

        def look(folder: Path) -> None:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    path = Path(entry.path)
                    name = path.relative_to(self._folder).as_posix()
                    if entry.is_dir(follow_symlinks=False):
                        look(path)
                    elif entry.is_file(follow_symlinks=False):
                        files.add(name)
                    else:
                        self._say("added", name, "it is a link or another thing, and no plain file")

        look(self._folder)
        return files

    def _read(self, name: str, longest: int = _LONGEST) -> bytes:
        with (self._folder / name).open("rb") as file:
            return file.read(longest)

    def _judge_sums(self, present: set[str]) -> None:
        if SUMS not in present:
            self._say("removed", SUMS, "the list of all files is not here")
            return
        data = self._read(SUMS)
        self._found.package = sha256(data).hexdigest()
        try:
            sums = read_sums(data)
        except SumsUnreadable as error:
            self._say("changed", SUMS, str(error))
            return
        for name, digest in sums.items():
            if name not in present:
                self._say("removed", name, "it was handed over, and is not here")
            elif digest_of(self._folder / name) != digest:
                self._say("changed", name, "its bytes are not those that were handed over")
        for name in sorted(present - sums.keys() - {SUMS, EXPORT}):
            self._say("added", name, "it was not handed over with the others")
        for name in (COVER, CONTENTS, MANIFESTS, REQUEST, APPROVAL, OPENING):
            if name not in sums:
                self._say("removed", name, "each package has it, and this one's list does not")

    # -- who decided ------------------------------------------------------------------------------

    def _judge_orders(self, present: set[str]) -> DisclosureRequest | None:
        request = self._order(present, REQUEST, DisclosureRequest)
        approval = self._order(present, APPROVAL, DisclosureApproval)
        opening = self._order(present, OPENING, DisclosureOpening)
        export = self._order(present, EXPORT, DisclosureExport)
        for name, signed, step in (
            (REQUEST, request, DisclosureStep.REQUESTED),
            (APPROVAL, approval, DisclosureStep.APPROVED),
            (OPENING, opening, DisclosureStep.OPENED),
        ):
            if signed is not None:
                self._judge_proof(present, name, signed, step)
        if request is None:
            return None
        order = request.order
        assert isinstance(order, DisclosureRequest)
        for name, other in ((APPROVAL, approval), (OPENING, opening), (EXPORT, export)):
            if other is not None and getattr(other.order, "request", "") != request.id:
                self._say("false", name, "it is about another request")
        for name, one in ((REQUEST, request), (APPROVAL, approval), (OPENING, opening)):
            if one is not None and one.order.pole != str(self._keys.recordings):
                self._say("false", name, "it is an order to another pole")
        self._judge_export(opening, export)
        self._found.request = request
        self._found.approver = approval.signer if approval is not None else ""
        self._found.opener = opening.signer if opening is not None else ""
        return order

    def _order(self, present: set[str], name: str, kind: type[O]) -> SignedOrder | None:
        if name not in present:
            if name == EXPORT:
                self._say("removed", name, "whoever made the package did not sign it")
            return None
        try:
            signed = read_order(self._read(name, LONGEST_ORDER + 1))
        except OrderUnreadable as error:
            self._say("changed", name, f"it is no order: {error}")
            return None
        if not isinstance(signed.order, kind):
            self._say("false", name, f"it is a {signed.order.kind}, and not a {kind.kind}")
            return None
        return signed

    def _judge_proof(
        self, present: set[str], name: str, signed: SignedOrder, step: DisclosureStep
    ) -> None:
        path = proof_path(name)
        if path not in present:
            self._say("removed", path, f"nothing proves that {name} stands in the pole's ledger")
            return
        try:
            proof = InclusionProof.parse(self._read(path))
            proof.verify(self._keys.ledger)
            _, entry = decode_record(proof.line)
        except (NoteRefused, LedgerRefused) as error:
            self._say("false", path, str(error))
            return
        if (
            not isinstance(entry, Disclosed)
            or entry.step is not step
            or entry.order != numbers_of(signed.id)
            or entry.signer != signed.key_id
        ):
            self._say("false", path, f"it proves another entry of the ledger than that of {name}")

    def _judge_export(self, opening: SignedOrder | None, export: SignedOrder | None) -> None:
        if opening is None or export is None:
            return
        assert isinstance(opening.order, DisclosureOpening)
        assert isinstance(export.order, DisclosureExport)
        try:
            key = VerifierKey.from_text(opening.order.key)
        except NoteRefused as error:
            self._say("false", OPENING, str(error))
            return
        for name, signed in ((OPENING, opening), (EXPORT, export)):
            if not signed.is_signed_by(key):
                self._say(
                    "changed", name, f"{key.name}, who opened the recordings, did not sign it"
                )
        if export.order.package != self._found.package:
            self._say("changed", SUMS, f"{key.name} signed another list of files")

    # -- what was recorded ------------------------------------------------------------------------

    def _judge_contents(self, present: set[str]) -> Contents | None:
        if CONTENTS not in present:
            return None
        try:
            contents = msgspec.json.decode(self._read(CONTENTS), type=Contents)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._say("changed", CONTENTS, "it is not as this software writes it")
            return None
        for key, mine in (
            (contents.recordings_key, str(self._keys.recordings)),
            (contents.ledger_key, str(self._keys.ledger)),
        ):
            if key != mine:
                self._say("false", CONTENTS, f"it names another key than {mine.partition('+')[0]}")
        return contents

    def _judge_recordings(
        self, present: set[str], request: DisclosureRequest, contents: Contents | None
    ) -> None:
        records = list(self._records(present))
        account = self._found.account = account_for(range_of(request), records)
        for number in {record.number for record in records} - account.numbers:
            self._say("added", MANIFESTS, f"record {number} has nothing to do with the request")
        manifests = {record.begun: record for record in records if isinstance(record, Segment)}
        if contents is not None:
            self._found.left_out = {one.name: one.why.value for one in contents.left_out}
            names = {piece.what for piece in account.segments}
            for name in sorted(self._found.left_out.keys() - names):
                self._say("false", CONTENTS, f"it says why {name} is missing, which is not")
        films = {video_path(piece.what): piece for piece in account.segments}
        for name in sorted(present):
            if name.startswith("video/") and name not in films:
                self._say(
                    "added", name, "nothing that the pole signed for this request tells of it"
                )
        for name, piece in films.items():
            if name in present:
                self._judge_film(present, name, piece, manifests[piece.number])
            elif piece.what not in self._found.left_out:
                self._say("removed", name, "the pole recorded it in the time that was asked for")
        if contents is not None:
            listed = {video_path(film.name) for film in contents.films}
            if listed != films.keys() & present:
                self._say("false", CONTENTS, "it does not list the segments that are here")

    def _records(self, present: set[str]) -> Iterator[ChainRecord]:
        last = 0
        data = self._read(MANIFESTS) if MANIFESTS in present else b""
        for place, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
            try:
                line = parse_line(raw)
                is_signed = self._keys.recordings.signed(line.signed, line.signature)
            except (ValueError, msgspec.DecodeError):
                is_signed = False
            if not is_signed:
                self._say("changed", MANIFESTS, f"line {place} is not as the pole signed it")
            elif line.record.number <= last:
                self._say("changed", MANIFESTS, f"line {place} stands at another place, or twice")
            else:
                last = line.record.number
                yield line.record

    def _judge_film(self, present: set[str], name: str, piece: Piece, manifest: Segment) -> None:
        head = header_path(piece.what)
        if head not in present:
            self._say("removed", head, "without it the video can't be compared with its manifest")
            return
        header = self._read(head)
        digest, size = sha256(header), len(header)
        try:
            with (self._folder / name).open("rb") as file:
                payload_of(file)
                while data := file.read(_AT_ONCE):
                    digest.update(data)
                    size += len(data)
        except CannotOpen as error:
            self._say("changed", name, str(error))
            return
        if (size, digest.hexdigest()) != (manifest.size, manifest.sha256):
            self._say(
                "changed", name, "with its header it is not what the pole recorded and signed"
            )
        else:
            self._found.films += 1
