"""`smartpole hold`: keeping recordings beyond their time, by orders that a manager signs."""

from __future__ import annotations

__all__ = ["register"]

import argparse
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.config import seconds_argument

if TYPE_CHECKING:
    # Here and not above: the command line is put together without loading what it may not need.
    from actors.custody.order import Order, SignedOrder
    from actors.custody.sending import PoleBox

_OK, _REFUSED, _WAITS = 0, 1, 3
_JAPAN = timezone(timedelta(hours=9))
_SHORTEST_ID, _WHOLE_ID = 8, 64
_Parsers = argparse._SubParsersAction
_WHERE = (
    "the pole's TOML file, where the order is brought to the pole at once; with --to, the pole's "
    "public key (pole.pub) is enough"
)
_STATUS = (
    "Exit status: 0 if the order was accepted or written, 1 if it was refused or can't be made, 2 "
    "if the configuration can't be read, 3 if nobody has decided yet: then it waits, and is in "
    "force meanwhile if it places a hold."
)


def register(subparsers: _Parsers[argparse.ArgumentParser]) -> None:
    """Add `hold` (entry point `smartpole.commands`)."""
    hold = subparsers.add_parser(
        "hold", help="keep recordings beyond two weeks, for a law or an investigative authority"
    )
    actions = hold.add_subparsers(dest="action", required=True, metavar="ACTION")

    place = actions.add_parser(
        "place",
        help="order recordings to be held",
        description=f"Times without a zone are Japan's. A hold opens nothing. {_STATUS}",
    )
    _add_signing(place)
    place.add_argument(
        "--ground",
        choices=("law", "authority", "facility", "none"),
        required=True,
        help="law, or an investigative authority's request (guideline 7.1(4)); others are refused, "
        "and the refusal is recorded",
    )
    place.add_argument(
        "--document", required=True, metavar="NUMBER", help="of the request; or the law's article"
    )
    place.add_argument("--authority", required=True, metavar="NAME", help="who asked")
    place.add_argument(
        "--place", action="append", required=True, metavar="PLACE", help="may be given again"
    )
    place.add_argument(
        "--camera", action="append", default=[], metavar="CAMERA", help="only these cameras there"
    )
    place.add_argument(
        "--from", type=_moment, required=True, metavar="TIME", dest="start", help="2026-11-20T09:00"
    )
    place.add_argument(
        "--until", type=_moment, required=True, metavar="TIME", dest="end", help="2026-11-20T18:00"
    )
    place.add_argument(
        "--review",
        type=_moment,
        required=True,
        metavar="TIME",
        help="when somebody has to look whether it is still needed; it goes on all the same",
    )
    place.set_defaults(handler=_place)

    review = actions.add_parser(
        "review", help="say that a hold is still needed", description=_STATUS
    )
    _add_signing(review)
    _add_hold(review)
    review.add_argument(
        "--review", type=_moment, required=True, metavar="TIME", help="when to look again"
    )
    review.set_defaults(handler=_review)

    release = actions.add_parser(
        "release",
        help="end a hold: what is past its time is deleted at once",
        description=_STATUS,
    )
    _add_signing(release)
    _add_hold(release)
    release.set_defaults(handler=_release)

    send = actions.add_parser(
        "send",
        help="bring orders to the pole that were signed elsewhere (of a disclosure, too)",
        description=_STATUS,
    )
    send.add_argument("where", type=Path, metavar="CONF", help="the pole's TOML file")
    send.add_argument("orders", type=Path, nargs="+", metavar="ORDER", help="a signed order")
    _add_wait(send)
    send.set_defaults(handler=_send)

    listed = actions.add_parser("list", help="show holds, and what nobody has decided yet")
    listed.add_argument("where", type=Path, metavar="CONF", help="the pole's TOML file")
    listed.add_argument("--all", action="store_true", help="released and refused ones, too")
    listed.add_argument("--json", action="store_true", help="print JSON for a machine")
    listed.set_defaults(handler=_list)


def _add_signing(action: argparse.ArgumentParser) -> None:
    action.add_argument("where", type=Path, metavar="WHERE", help=_WHERE)
    action.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="your own private key, made by `smartpole keys signer`",
    )
    action.add_argument(
        "--to",
        type=Path,
        metavar="FILE",
        help="write the signed order there instead, for `smartpole hold send` on the pole",
    )
    _add_wait(action)


def _add_hold(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--hold", required=True, metavar="ID", help="as `smartpole hold list` shows it"
    )


def _add_wait(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--wait",
        type=seconds_argument,
        default=10.0,
        metavar="TIME",
        help="how long to wait for the pole's decision (10s)",
    )


def _moment(text: str) -> datetime:
    """A time on the command line; one without a zone is Japan's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-11-20T09:00 (Japan), or with a zone "
            "2026-11-20T00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_JAPAN)
    return moment.replace(microsecond=0)


# -- orders -------------------------------------------------------------------------------------


def _place(arguments: argparse.Namespace) -> int:
    from datetime import UTC

    from actors.custody.order import HoldPlace
    from actors.ledger.receipts import Ground

    pole, box = _pole(arguments)
    grounds = {"law": Ground.LAW, "authority": Ground.AUTHORITY, "facility": Ground.FACILITY}
    order = _made(
        HoldPlace,
        pole=pole,
        ground=grounds.get(arguments.ground),
        document=arguments.document,
        authority=arguments.authority,
        places=tuple(dict.fromkeys(arguments.place)),
        cameras=tuple(dict.fromkeys(arguments.camera)),
        start=arguments.start.astimezone(UTC),
        end=arguments.end.astimezone(UTC),
        review=arguments.review.astimezone(UTC),
    )
    return _bring(order, arguments, box)


def _review(arguments: argparse.Namespace) -> int:
    from datetime import UTC

    from actors.custody.order import HoldReview

    pole, box = _pole(arguments)
    hold = _hold(arguments.hold, box)
    review = arguments.review.astimezone(UTC)
    return _bring(_made(HoldReview, pole=pole, hold=hold, review=review), arguments, box)


def _release(arguments: argparse.Namespace) -> int:
    from actors.custody.order import HoldRelease

    pole, box = _pole(arguments)
    order = _made(HoldRelease, pole=pole, hold=_hold(arguments.hold, box))
    return _bring(order, arguments, box)


def _pole(arguments: argparse.Namespace) -> tuple[str, PoleBox | None]:
    """The key by which orders name the pole, and its box if the configuration is at hand."""
    from actors.custody.sending import PoleBox, pole_key_in

    if arguments.to is not None and arguments.where.suffix == ".pub":
        return pole_key_in(arguments.where), None
    box = PoleBox(arguments.where)
    return box.pole, box


def _made(kind: type[Order], **fields: object) -> Order:
    """An order, held against its type. Raises SmartpoleError."""
    import msgspec

    from runtime import SmartpoleError

    try:
        return msgspec.convert(fields, kind)
    except (msgspec.ValidationError, ValueError) as error:
        what = str(error)
        raise SmartpoleError(f"no such order can be made: {what[:1].lower()}{what[1:]}.") from None


def _hold(given: str, box: PoleBox | None) -> str:
    """The whole id of the hold that is meant. Raises SmartpoleError."""
    from actors.custody.holds import HoldRegister
    from runtime import SmartpoleError

    text = given.lower()
    is_hexadecimal = all(one in "0123456789abcdef" for one in text)
    if is_hexadecimal and len(text) == _WHOLE_ID:
        return text
    if box is None:
        raise SmartpoleError(
            f"without the pole's box the whole number of the hold is needed ({_WHOLE_ID} digits), "
            "as `smartpole hold list --json` shows it."
        )
    known = HoldRegister.of(box.read()).placed
    found = [one for one in known if one.startswith(text)]
    if not is_hexadecimal or len(text) < _SHORTEST_ID or len(found) != 1:
        raise SmartpoleError(
            f"{given!r} names {'no hold' if not found else 'more than one hold'} of this pole. "
            f"Accepted: its first {_SHORTEST_ID} digits or more, as `smartpole hold list` shows "
            "them."
        )
    return found[0]


# -- bringing -----------------------------------------------------------------------------------


def _bring(order: Order, arguments: argparse.Namespace, box: PoleBox | None) -> int:
    from actors.custody.order import sign_order
    from actors.custody.sending import key_from, write_order

    signed = sign_order(order, key_from(arguments.key))
    if arguments.to is not None:
        write_order(signed, arguments.to)
        print(f"wrote {arguments.to}\n  on the pole: smartpole hold send CONF {arguments.to}")
        return _OK
    assert box is not None
    return _sent(signed, box, arguments.wait)


def _send(arguments: argparse.Namespace) -> int:
    from actors.custody.sending import PoleBox, order_in

    box = PoleBox(arguments.where)
    status = _OK
    for path in arguments.orders:
        status = max(status, _sent(order_in(path), box, arguments.wait))
    return status


def _sent(signed: SignedOrder, box: PoleBox, patience: float) -> int:
    from actors.custody.order import HoldPlace
    from actors.custody.showing import about

    outcome = box.send(signed, patience)
    if outcome is None:
        print(f"· {signed.order.kind}: nobody has decided yet, and the order waits in the pole's")
        print("  box. It is decided as soon as the pole runs; see `smartpole hold list`.")
        if isinstance(signed.order, HoldPlace):
            print("  The hold is in force meanwhile: nothing in its range is deleted.")
        return _WAITS
    if not outcome.accepted:
        print(f"✗ {signed.order.kind}, refused: {outcome.said}", file=sys.stderr)
    else:
        print(f"✓ {signed.order.kind}, accepted: {outcome.said}")
    for line in about(signed):
        print(f"  {line}")
    entry = box.entry_of(signed, patience)
    stands = f"entry {entry}" if entry is not None else "not there yet; see `smartpole hold list`"
    print(f"  ledger     {stands}")
    return _OK if outcome.accepted else _REFUSED


# -- list ---------------------------------------------------------------------------------------


def _list(arguments: argparse.Namespace) -> int:
    from actors.custody.sending import PoleBox
    from actors.custody.showing import listing, listing_json

    box = PoleBox(arguments.where)
    contents, entries = box.read(), box.in_ledger()
    if arguments.json:
        print(listing_json(contents, entries))
    else:
        print("\n".join(listing(contents, entries, everything=arguments.all)))
    return _OK
