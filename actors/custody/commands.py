"""`smartpole hold`: keeping recordings beyond their time, by orders that a manager signs."""

from __future__ import annotations

__all__ = ["register"]

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from actors.custody.bringing import (
    OK,
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
    from actors.custody.sending import PoleBox

_Parsers = argparse._SubParsersAction
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
    add_signing(place)
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
        "--from", type=moment, required=True, metavar="TIME", dest="start", help="2026-11-20T09:00"
    )
    place.add_argument(
        "--until", type=moment, required=True, metavar="TIME", dest="end", help="2026-11-20T18:00"
    )
    place.add_argument(
        "--review",
        type=moment,
        required=True,
        metavar="TIME",
        help="when somebody has to look whether it is still needed; it goes on all the same",
    )
    place.set_defaults(handler=_place)

    review = actions.add_parser(
        "review", help="say that a hold is still needed", description=_STATUS
    )
    add_signing(review)
    _add_hold(review)
    review.add_argument(
        "--review", type=moment, required=True, metavar="TIME", help="when to look again"
    )
    review.set_defaults(handler=_review)

    release = actions.add_parser(
        "release",
        help="end a hold: what is past its time is deleted at once",
        description=_STATUS,
    )
    add_signing(release)
    _add_hold(release)
    release.set_defaults(handler=_release)

    send = actions.add_parser(
        "send",
        help="bring orders to the pole that were signed elsewhere (of a disclosure, too)",
        description=_STATUS,
    )
    send.add_argument("where", type=Path, metavar="CONF", help="the pole's TOML file")
    send.add_argument("orders", type=Path, nargs="+", metavar="ORDER", help="a signed order")
    add_wait(send)
    send.set_defaults(handler=_send)

    listed = actions.add_parser("list", help="show holds, and what nobody has decided yet")
    listed.add_argument("where", type=Path, metavar="CONF", help="the pole's TOML file")
    listed.add_argument("--all", action="store_true", help="released and refused ones, too")
    listed.add_argument("--json", action="store_true", help="print JSON for a machine")
    listed.set_defaults(handler=_list)


def _add_hold(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--hold", required=True, metavar="ID", help="as `smartpole hold list` shows it"
    )


# -- orders -------------------------------------------------------------------------------------


def _place(arguments: argparse.Namespace) -> int:
    from datetime import UTC

    from actors.custody.order import HoldPlace
    from actors.ledger.receipts import Ground

    pole, box = pole_of(arguments)
    grounds = {"law": Ground.LAW, "authority": Ground.AUTHORITY, "facility": Ground.FACILITY}
    order = order_of(
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
    return bring(order, arguments, box)


def _review(arguments: argparse.Namespace) -> int:
    from datetime import UTC

    from actors.custody.order import HoldReview

    pole, box = pole_of(arguments)
    hold = _hold(arguments.hold, box)
    review = arguments.review.astimezone(UTC)
    return bring(order_of(HoldReview, pole=pole, hold=hold, review=review), arguments, box)


def _release(arguments: argparse.Namespace) -> int:
    from actors.custody.order import HoldRelease

    pole, box = pole_of(arguments)
    order = order_of(HoldRelease, pole=pole, hold=_hold(arguments.hold, box))
    return bring(order, arguments, box)


def _hold(given: str, box: PoleBox | None) -> str:
    """The whole id of the hold that is meant. Raises SmartpoleError."""
    from actors.custody.holds import HoldRegister

    known = HoldRegister.of(box.read()).placed if box is not None else None
    return whole_id(given, known, "hold")


# -- bringing -----------------------------------------------------------------------------------


def _send(arguments: argparse.Namespace) -> int:
    from actors.custody.sending import PoleBox, order_in

    box = PoleBox(arguments.where)
    status = OK
    for path in arguments.orders:
        status = max(status, sent(order_in(path), box, arguments.wait))
    return status


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
    return OK
