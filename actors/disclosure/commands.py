"""`smartpole disclose`: handing recordings over on one of the three grounds, and verifying it."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.custody.bringing import (
    OK,
    REFUSED,
    WAITS,
    add_signing,
    add_wait,
    bring,
    moment,
    order_of,
    pole_of,
    sent,
    whole_id,
)

if TYPE_CHECKING:
    # Here and not above: the command line is put together without loading what it may not need.
    from actors.custody.box import BoxContents
    from actors.custody.order import SignedOrder
    from actors.custody.sending import PoleBox
    from actors.disclosure.keys import PoleKeys
    from actors.disclosure.package import Made

_UNSAID = 2
_Parsers = argparse._SubParsersAction
_Handler = Callable[[argparse.Namespace], int]
_STATUS = (
    "Exit status: 0 if it was accepted, done or written, 1 if it was refused or can't be done, 2 "
    "if the configuration can't be read, 3 if nobody has decided yet."
)
_TIMES = "Times without a zone are Japan's."


def register(subparsers: _Parsers[argparse.ArgumentParser]) -> None:
    """Add `disclose` (entry point `smartpole.commands`)."""
    disclose = subparsers.add_parser(
        "disclose",
        help="hand recordings over, to an authority or a facility's operator; verify what was",
    )
    actions = disclose.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_request(actions)

    approve = actions.add_parser(
        "approve", help="agree with another manager's request", description=_STATUS
    )
    add_signing(approve)
    _add_id(approve)
    approve.add_argument(
        "--yes", action="store_true", help="the request was read before; do not ask"
    )
    approve.set_defaults(handler=_approve)

    opening = actions.add_parser(
        "open",
        help="ask for opening what is approved; `export` does so itself where the pole is at hand",
        description=_STATUS,
    )
    add_signing(opening)
    _add_id(opening)
    opening.set_defaults(handler=_open)

    export = actions.add_parser(
        "export",
        help="make the package for the recipient",
        description=f"On the manager's computer. No picture is decrypted on the way. {_STATUS}",
    )
    export.add_argument(
        "where", type=Path, metavar="WHERE", help="the pole's TOML file, or a copy of its folder"
    )
    export.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="your own private key to sign with, made by `smartpole keys signer`",
    )
    _add_id(export)
    export.add_argument(
        "--identity",
        type=Path,
        required=True,
        metavar="KEY",
        help="the manager's private key of recordings; of keys for days, their folder",
    )
    export.add_argument(
        "--package", type=Path, required=True, metavar="FOLDER", help="a new folder for it"
    )
    add_wait(export)
    export.set_defaults(handler=_export)

    listed = actions.add_parser("list", help="show requests, and how far each has come")
    listed.add_argument(
        "where", type=Path, metavar="WHERE", help="the pole's TOML file, or a copy of its folder"
    )
    listed.add_argument("--all", action="store_true", help="exported and refused ones, too")
    listed.add_argument("--json", action="store_true", help="print JSON for a machine")
    listed.set_defaults(handler=_list)

    verify = actions.add_parser(
        "verify",
        help="for the recipient and auditors: is a package as it was handed over? Without the pole",
        description="Exit status: 0 if all is as it was handed over and the pole's signatures bear "
        "it out, 1 if something is not, 2 if that can't be said.",
    )
    verify.add_argument("package", type=Path, metavar="PACKAGE", help="its folder")
    verify.add_argument(
        "--key",
        action="append",
        required=True,
        metavar="PUB",
        help="the pole's public keys, of its recordings and of its ledger, noted when it was set "
        "up: files, or the keys themselves; one file may hold both",
    )
    verify.add_argument(
        "--ledger",
        type=Path,
        metavar="FOLDER",
        help="a copy of the pole's ledger: it must tell of this very package",
    )
    verify.add_argument("--json", action="store_true", help="for machines")
    verify.set_defaults(handler=_verify)


def _add_request(actions: _Parsers[argparse.ArgumentParser]) -> None:
    request = actions.add_parser(
        "request",
        help="ask for a disclosure",
        description=f"{_TIMES} Only the smallest range is accepted: within what the document "
        f"names, and 30 minutes before and after what happened at most. {_STATUS}",
    )
    add_signing(request)
    request.add_argument(
        "--ground",
        choices=("law", "authority", "facility", "none"),
        required=True,
        help="guideline 7.2(1): law; an investigative authority's official written inquiry; the "
        "facility's operator. Others are refused, and the refusal is recorded",
    )
    request.add_argument(
        "--document", default="", metavar="NUMBER", help="of the inquiry; or the law's article"
    )
    request.add_argument(
        "--authority", default="", metavar="NAME", help="to whom, as the document names them"
    )
    request.add_argument(
        "--facility", default="", metavar="NAME", help="as the configuration names it"
    )
    request.add_argument(
        "--purpose",
        choices=("crime-prevention", "other"),
        default="crime-prevention",
        help="another than %(default)s is refused, and the refusal is recorded (7.2(2))",
    )
    request.add_argument(
        "--anonymised", action="store_true", help="is refused, and the refusal recorded (7.2(2))"
    )
    request.add_argument(
        "--place", action="append", required=True, metavar="PLACE", help="may be given again"
    )
    request.add_argument(
        "--camera", action="append", required=True, metavar="CAMERA", help="may be given again"
    )
    for option, name, text in (
        ("--written-from", "written_start", "from when on the document asks"),
        ("--written-until", "written_end", "until when the document asks"),
        ("--happened", "event_start", "when it happened, or began to: 2026-11-20T09:10"),
        ("--from", "start", "from when on to hand over"),
        ("--until", "end", "until when"),
    ):
        request.add_argument(
            option, type=moment, required=True, metavar="TIME", dest=name, help=text
        )
    request.add_argument(
        "--happened-until",
        type=moment,
        metavar="TIME",
        dest="event_end",
        help="when it was over, if it took a while",
    )
    request.add_argument(
        "--recipient",
        required=True,
        metavar="AGE1…",
        help="the recipient's own public key (age-keygen), told by themselves",
    )
    request.set_defaults(handler=_request)


def _add_id(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--request",
        required=True,
        metavar="ID",
        help="as `smartpole disclose list` shows it; or the file of the request",
    )


# -- orders -------------------------------------------------------------------------------------


def _request(arguments: argparse.Namespace) -> int:
    from actors.custody.order import DisclosureRequest, Purpose
    from actors.ledger.receipts import Ground

    pole, box = pole_of(arguments)
    grounds = {"law": Ground.LAW, "authority": Ground.AUTHORITY, "facility": Ground.FACILITY}
    is_usual = arguments.purpose == "crime-prevention"
    times: dict[str, Any] = {
        name: getattr(arguments, name).astimezone(UTC)
        for name in ("written_start", "written_end", "event_start", "start", "end")
    }
    order = order_of(
        DisclosureRequest,
        pole=pole,
        ground=grounds.get(arguments.ground),
        document=arguments.document,
        authority=arguments.authority,
        facility=arguments.facility,
        purpose=Purpose.CRIME_PREVENTION if is_usual else Purpose.OTHER,
        anonymised=arguments.anonymised,
        places=tuple(dict.fromkeys(arguments.place)),
        cameras=tuple(dict.fromkeys(arguments.camera)),
        event_end=(arguments.event_end or arguments.event_start).astimezone(UTC),
        recipient=arguments.recipient,
        **times,
    )
    return bring(order, arguments, box)


def _approve(arguments: argparse.Namespace) -> int:
    from actors.custody.order import DisclosureApproval, DisclosureRequest
    from actors.disclosure.showing import facts

    pole, box = pole_of(arguments)
    id, request = _request_of(arguments.request, box.read() if box is not None else None)
    if request is not None:
        order = request.order
        assert isinstance(order, DisclosureRequest)
        print(f"request {id[:12]}, by {request.signer}:")
        for line in facts(order):
            print(f"  {line}")
    if not arguments.yes and not _agrees():
        print("smartpole disclose: not approved; nothing was signed.", file=sys.stderr)
        return REFUSED
    return bring(order_of(DisclosureApproval, pole=pole, request=id), arguments, box)


def _agrees() -> bool:
    if not sys.stdin.isatty():
        print("smartpole disclose: say --yes, for nobody can be asked here.", file=sys.stderr)
        return False
    return input("Approve this request with your signature? [y/N] ").strip().lower() in ("y", "yes")


def _open(arguments: argparse.Namespace) -> int:
    from actors.custody.order import DisclosureOpening
    from actors.custody.sending import key_from

    pole, box = pole_of(arguments)
    id, _ = _request_of(arguments.request, box.read() if box is not None else None)
    key = str(key_from(arguments.key).verifier)
    return bring(order_of(DisclosureOpening, pole=pole, request=id, key=key), arguments, box)


def _request_of(given: str, contents: BoxContents | None) -> tuple[str, SignedOrder | None]:
    """The id of the request that is meant, and the request itself where it is at hand: in the
    pole's box, or in the file that was given. Raises SmartpoleError."""
    from actors.custody.disclosure import Disclosures
    from actors.custody.order import DisclosureRequest
    from actors.custody.sending import order_in
    from runtime import SmartpoleError

    if Path(given).is_file():
        signed = order_in(Path(given))
        if not isinstance(signed.order, DisclosureRequest):
            raise SmartpoleError(f"{given} is a {signed.order.kind}, and not a disclosure-request.")
        return signed.id, signed
    requests = Disclosures.of(contents).requests if contents is not None else None
    id = whole_id(given, requests, "request")
    known = requests.get(id) if requests is not None else None
    return id, known.signed if known is not None else None


# -- export -------------------------------------------------------------------------------------


def _export(arguments: argparse.Namespace) -> int:
    from actors.custody.sending import PoleBox, key_from
    from actors.disclosure.errors import DisclosureRefused
    from actors.disclosure.folder import PoleFolder
    from actors.disclosure.package import make_package
    from actors.disclosure.rewrap import read_identities
    from runtime import load_blueprint

    # What can be wrong on this computer is found before anything is opened.
    signer, identities = key_from(arguments.key), read_identities(arguments.identity)
    box = None if arguments.where.is_dir() else PoleBox(arguments.where)
    state = load_blueprint(arguments.where).pole.state if box is not None else arguments.where
    _require_new(arguments.package, state)
    folder = PoleFolder(state)
    id, _ = _request_of(arguments.request, folder.contents())
    try:
        opening = folder.opening(id, signer, _now())
    except DisclosureRefused:
        if box is None:
            raise
        opening = None  # the custodian refuses it, too, so that it stands in the ledger
    if opening is None:
        if box is None:
            raise DisclosureRefused(
                "nothing in this copy says that the request may be opened. On the pole, or with "
                "--to and `smartpole hold send` there: smartpole disclose open; and then make the "
                "copy again (guideline 7.3(1): every opening is recorded first)."
            )
        opening, status = _ask_to_open(id, arguments, box)
        if opening is None:
            return status
        box.entry_of(opening, arguments.wait)
    try:
        made = make_package(folder.job(opening, identities, signer, _now), arguments.package)
    except OSError as error:
        raise DisclosureRefused(f"{error.filename}: {error.strerror}") from None
    _print_made(made)
    if box is None:
        print("  The pole must be told. There: smartpole hold send CONF PACKAGE/export.note")
        return OK
    return sent(made.export, box, arguments.wait)


def _require_new(package: Path, state: Path) -> None:
    from actors.disclosure.errors import DisclosureRefused

    if package.exists():
        raise DisclosureRefused(
            f"{package} is there already, and is not overwritten. Name another folder by --package."
        )
    if package.resolve().is_relative_to(state.resolve()):
        raise DisclosureRefused(
            f"{package} lies among the pole's own files, where recordings may stay for two weeks "
            "at most and nothing would delete it (guideline 7.1(3)). Name a folder elsewhere by "
            "--package, such as the medium that is handed over."
        )


def _ask_to_open(
    id: str, arguments: argparse.Namespace, box: PoleBox
) -> tuple[SignedOrder | None, int]:
    """The opening, if it was accepted; else the exit status."""
    from actors.custody.order import DisclosureOpening, sign_order
    from actors.custody.sending import key_from

    key = key_from(arguments.key)
    order = order_of(DisclosureOpening, pole=box.pole, request=id, key=str(key.verifier))
    signed = sign_order(order, key)
    status = sent(signed, box, arguments.wait)
    if status == WAITS:
        print("  When it is decided, run this command again.")
    return (signed if status == OK else None), status


def _print_made(made: Made) -> None:
    missing = len(made.account.missing) + len(made.contents.left_out)
    print(f"✓ {made.folder}: {len(made.contents.films)} segments")
    if missing:
        stretches = "stretch of the time is" if missing == 1 else "stretches of the time are"
        print(f"  {missing} {stretches} missing; the cover sheet says which, and why")
    print(f"  cover sheet: {made.folder / 'cover.html'}, to be printed and signed")


def _now() -> datetime:
    return datetime.now(UTC)


# -- list, verify -------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from actors.custody.sending import orders_in_ledger
    from actors.disclosure.folder import PoleFolder
    from actors.disclosure.showing import listing, listing_json
    from runtime import load_blueprint

    is_copy = arguments.where.is_dir()
    state = arguments.where if is_copy else load_blueprint(arguments.where).pole.state
    folder = PoleFolder(state)
    contents, entries = folder.contents(), orders_in_ledger(state)
    if arguments.json:
        print(listing_json(contents, entries))
    else:
        print("\n".join(listing(contents, entries, everything=arguments.all)))
    return OK


def _verify(arguments: argparse.Namespace) -> int:
    import msgspec

    from actors.disclosure.errors import DisclosureRefused
    from actors.disclosure.keys import PoleKeys
    from actors.disclosure.showing import spell_verified, verified_json
    from actors.disclosure.verify import Finding, verify_package

    entry: int | None = None
    try:
        keys = PoleKeys.read(arguments.key)
        found = verify_package(arguments.package, keys)
        if arguments.ledger is not None and found.package:
            entry = _entry_of(found.package, arguments.ledger, keys)
            if entry is None:
                text = (
                    "the copy of the ledger tells of no such package: it is older, or was not told"
                )
                found.findings.append(Finding("false", str(arguments.ledger), text))
    except DisclosureRefused as refusal:
        print(f"smartpole disclose: {refusal}", file=sys.stderr)
        return _UNSAID
    except OSError as error:
        print(f"smartpole disclose: {error.filename}: {error.strerror}", file=sys.stderr)
        return _UNSAID
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(verified_json(found, entry))).decode())
    else:
        print("\n".join(spell_verified(found)))
        if entry is not None:
            print(f"  ✓ the ledger tells of this package: entry {entry}")
    return OK if found.is_good else REFUSED


def _entry_of(package: str, folder: Path, keys: PoleKeys) -> int | None:
    from actors.disclosure.errors import DisclosureRefused
    from actors.disclosure.proofs import entry_of_package
    from runtime.errors import LedgerDamaged, LedgerTrouble
    from runtime.ledger.audit import LedgerFolder

    try:
        return entry_of_package(LedgerFolder(folder, keys.ledger), package)
    except (LedgerDamaged, LedgerTrouble) as error:
        raise DisclosureRefused(str(error)) from None
