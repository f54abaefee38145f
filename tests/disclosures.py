"""A pole's folder with recordings, orders and a ledger, for tests of disclosure."""

from __future__ import annotations

__all__ = ["EVENT", "NOW", "Site", "request_order"]

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pyrage import x25519

from actors.custody.box import Accepted
from actors.custody.disclosure import Disclosures, decide_disclosure
from actors.custody.managers import CustodianSettings, Facility, Manager, Managers, PublicKey, Role
from actors.custody.order import (
    DisclosureApproval,
    DisclosureOpening,
    DisclosureRequest,
    Order,
    SignedOrder,
    sign_order,
)
from actors.custody.ruling import Ruling
from actors.disclosure.keys import PoleKeys
from actors.disclosure.package import Job, Made, make_package
from actors.disclosure.proofs import prove_orders
from actors.disclosure.recordings import Recordings
from actors.disclosure.rewrap import Identity
from actors.ledger.receipts import Ground
from actors.recorder.age import AgeWriter, Recipient
from actors.recorder.capability import RecordingStore
from actors.recorder.signing import PoleKey
from runtime.ledger.audit import LedgerFolder
from runtime.ledger.entry import encode_record
from runtime.ledger.files import public_key
from runtime.ledger.log import LedgerLog, create_log
from runtime.ledger.note import SigningKey
from tests.recordings import storage

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
EVENT = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""When what is looked for happened."""
_PLACES = ("crossing", "park")


def request_order(pole: str, **fields: Any) -> DisclosureRequest:
    """A request that nothing speaks against: five minutes about the event."""
    return DisclosureRequest(
        **{
            "pole": pole,
            "made": NOW,
            "ground": Ground.AUTHORITY,
            "document": "刑 第1234号",
            "authority": "警視庁 Example警察署",
            "places": ("crossing",),
            "cameras": ("camera-0",),
            "written_start": EVENT - timedelta(hours=6),
            "written_end": EVENT + timedelta(hours=6),
            "event_start": EVENT,
            "event_end": EVENT,
            "start": EVENT - timedelta(minutes=2),
            "end": EVENT + timedelta(minutes=3),
            **fields,
        }
    )


def _manager(key: SigningKey, role: Role, **fields: Any) -> Manager:
    return Manager(
        **{
            "name": key.verifier.name,
            "role": role,
            "key": PublicKey(key.verifier),
            "places": _PLACES,
            "since": date(2026, 4, 1),
            "until": date(2027, 3, 31),
            **fields,
        }
    )


@dataclass
class Site:
    """State folder, its people, and what the custodian accepted so far."""

    folder: Path
    now: datetime = NOW
    past: Disclosures = field(default_factory=Disclosures)

    def __post_init__(self) -> None:
        self.security = self.folder / "security"
        self.security.mkdir(parents=True, mode=0o700)
        self.ledger_folder = self.folder / "ledger"
        create_log(self.ledger_folder, "smartpole/test-pole")
        self.log = LedgerLog(self.ledger_folder)
        self.pole = str(PoleKey.of_folder(self.security).public)
        self.site, self.deputy, self.other = map(
            SigningKey.generate, ("site-manager", "site-deputy", "other-manager")
        )
        self.settings = CustodianSettings(
            cameras={"camera-0": "crossing", "camera-1": "crossing", "camera-2": "park"},
            managers=(
                _manager(self.site, Role.MANAGER),
                _manager(self.deputy, Role.DEPUTY),
                _manager(self.other, Role.MANAGER, places=("park",)),
            ),
            facilities=(
                Facility(
                    name="station",
                    agreement="NDA-7",
                    places=("crossing",),
                    since=date(2026, 4, 1),
                    until=date(2027, 3, 31),
                ),
            ),
        )
        self.managers = Managers(self.settings)
        self.own = x25519.Identity.generate()
        """The manager's key, to which the pole encrypts."""
        self.guest = x25519.Identity.generate()
        """The recipient's."""

    @property
    def keys(self) -> PoleKeys:
        return PoleKeys.read([self.pole, str(public_key(self.ledger_folder))])

    def record(
        self,
        start: datetime,
        seconds: float,
        *,
        camera: str = "camera-0",
        place: str = "crossing",
        size: int = 200_000,
        cut: int = 0,
        to: x25519.Identity | None = None,
    ) -> str:
        """A segment of arbitrary bytes; ``cut`` is how many bytes of it a power cut took."""
        store = storage(RecordingStore, self.security)
        pieces: list[bytes] = []

        class Sink:
            def write(self, data: bytes, /) -> object:
                return pieces.append(data)

        writer = AgeWriter(Sink(), [Recipient(str((to or self.own).to_public()))])
        head = b"".join(pieces)
        pieces.clear()
        writer.write(os.urandom(size))
        writer.close()
        body = b"".join(pieces)
        begin = int(start.timestamp() * 1_000_000)
        segment = store.open_segment(
            camera=camera, place=place, started_at=begin, codec="h264", width=64, height=48,
            head=head,
        )  # fmt: skip
        end = begin + int(seconds * 1_000_000) - 100_000
        segment.write(body[: len(body) - cut])
        if cut:
            segment.cut(end, readable=True)
        else:
            assert segment.finish(end)
        return segment.name

    def record_minutes(self, start: datetime, minutes: int, **fields: Any) -> list[str]:
        """So many segments of a minute, one after the other."""
        return [
            self.record(start + timedelta(minutes=number), 60, **fields)
            for number in range(minutes)
        ]

    def note_gap(self, start: datetime, end: datetime, reason: str) -> None:
        storage(RecordingStore, self.security).note_gap(
            camera="camera-0",
            place="crossing",
            started_at=int(start.timestamp()) * 1_000_000,
            ended_at=int(end.timestamp()) * 1_000_000,
            reason=reason,
        )

    def request(self, **fields: Any) -> DisclosureRequest:
        recipient = str(self.guest.to_public())
        return request_order(self.pole, **{"recipient": recipient, **fields})

    def ask(self, order: Order, key: SigningKey) -> tuple[SignedOrder, Ruling]:
        """Have the custodian decide, and the ledger note it."""
        signed = sign_order(order, key)
        cameras = self.settings.cameras
        ruling = decide_disclosure(signed, self.past, self.managers, self.now, cameras=cameras)
        if ruling.why is None:
            self.past.add(Accepted(signed, self.now))
        words = ("crossing", "park")
        self.log.append([encode_record(ruling.receipt, at=self.now, by="custodian", words=words)])
        return signed, ruling

    def approved(self, **fields: Any) -> SignedOrder:
        """A request that two people agreed on."""
        request, ruling = self.ask(self.request(**fields), self.site)
        assert ruling.why is None, ruling.text
        _, ruling = self.ask(DisclosureApproval(pole=self.pole, request=request.id), self.deputy)
        assert ruling.why is None, ruling.text
        return request

    def opening(self, request: SignedOrder, key: SigningKey | None = None) -> DisclosureOpening:
        key = key or self.site
        return DisclosureOpening(pole=self.pole, request=request.id, key=str(key.verifier))

    def job(self, request: SignedOrder, own: Sequence[x25519.Identity] = ()) -> Job:
        """What the package of an approved request is made from."""
        opening, ruling = self.ask(self.opening(request), self.site)
        assert ruling.why is None, ruling.text
        approval = self.past.approvals[request.id].signed
        ledger = LedgerFolder(self.ledger_folder, public_key(self.ledger_folder))
        return Job(
            recordings=Recordings(self.security, self.keys.recordings),
            request=request,
            approval=approval,
            opening=opening,
            proofs=prove_orders(ledger, [request, approval, opening]),
            ledger_key=str(ledger.key),
            identities=[Identity(str(one)) for one in (own or (self.own,))],
            signer=self.site,
            now=lambda: self.now,
        )

    def package(self, target: Path, **fields: Any) -> Made:
        """From the request to the package."""
        return make_package(self.job(self.approved(**fields)), target)
