"""Commands by which people bring orders to a pole: what `hold` and `disclose` have in common."""

from __future__ import annotations

__all__ = [
    "OK",
    "REFUSED",
    "WAITS",
    "add_signing",
    "add_wait",
    "bring",
    "moment",
    "order_of",
    "pole_of",
    "sent",
    "whole_id",
]

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from actors.custody.times import JAPAN
from runtime.config import seconds_argument

if TYPE_CHECKING:
    # Here and not above: the command line is put together without loading what it may not need.
    from actors.custody.order import Order, SignedOrder
    from actors.custody.sending import PoleBox

OK, REFUSED, WAITS = 0, 1, 3
_SHORTEST_ID, _WHOLE_ID = 8, 64
_WHERE = (
    "the pole's TOML file, where the order is brought to the pole at once; with --to, the pole's "
    "public key (pole.pub) is enough"
)

O = TypeVar("O", bound="Order")  # noqa: E741


def add_signing(action: argparse.ArgumentParser) -> None:
    """Where the pole is, whose key signs, and whether the order is only written."""
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
    add_wait(action)


def add_wait(action: argparse.ArgumentParser) -> None:
    """How long to wait."""
    action.add_argument(
        "--wait",
        type=seconds_argument,
        default=10.0,
        metavar="TIME",
        help="how long to wait for the pole's decision (10s)",
    )


def moment(text: str) -> datetime:
    """A time on the command line; one without a zone is Japan's."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-11-20T09:00 (Japan), or with a zone "
            "2026-11-20T00:00Z"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=JAPAN)
    return found.replace(microsecond=0)


def pole_of(arguments: argparse.Namespace) -> tuple[str, PoleBox | None]:
    """The key by which orders name the pole, and its box if the configuration is at hand."""
    from actors.custody.sending import PoleBox, pole_key_in

    if arguments.to is not None and arguments.where.suffix == ".pub":
        return pole_key_in(arguments.where), None
    box = PoleBox(arguments.where)
    return box.pole, box


def order_of(kind: type[O], **fields: object) -> O:
    """An order, held against its type. Raises SmartpoleError."""
    import msgspec

    from runtime import SmartpoleError

    try:
        return msgspec.convert(fields, kind)
    except (msgspec.ValidationError, ValueError) as error:
        what = str(error)
        raise SmartpoleError(f"no such order can be made: {what[:1].lower()}{what[1:]}.") from None


def whole_id(given: str, known: Iterable[str] | None, what: str) -> str:
    """The whole id of the hold or request (``what``) that is meant, out of the known ones, if the
    pole's box is at hand. Raises SmartpoleError."""
    from runtime import SmartpoleError

    command = "smartpole hold list" if what == "hold" else "smartpole disclose list"
    text = given.lower()
    is_hexadecimal = all(one in "0123456789abcdef" for one in text)
    if is_hexadecimal and len(text) == _WHOLE_ID:
        return text
    if known is None:
        raise SmartpoleError(
            f"without the pole's box the whole number of the {what} is needed ({_WHOLE_ID} "
            f"digits), as `{command} --json` shows it."
        )
    found = [one for one in known if one.startswith(text)]
    if not is_hexadecimal or len(text) < _SHORTEST_ID or len(found) != 1:
        raise SmartpoleError(
            f"{given!r} names {f'no {what}' if not found else f'more than one {what}'} of this "
            f"pole. Accepted: its first {_SHORTEST_ID} digits or more, as `{command}` shows them."
        )
    return found[0]


def bring(order: Order, arguments: argparse.Namespace, box: PoleBox | None) -> int:
    """Sign the order, and write it where ``--to`` says or bring it to the pole. Returns the exit
    status, after telling what became of it. Raises SmartpoleError."""
    from actors.custody.order import sign_order
    from actors.custody.sending import key_from, write_order

    signed = sign_order(order, key_from(arguments.key))
    if arguments.to is not None:
        write_order(signed, arguments.to)
        print(f"wrote {arguments.to}\n  on the pole: smartpole hold send CONF {arguments.to}")
        return OK
    assert box is not None
    return sent(signed, box, arguments.wait)


def sent(signed: SignedOrder, box: PoleBox, patience: float) -> int:
    """Bring a signed order to the pole. Returns the exit status, after telling what became of it.
    Raises SmartpoleError."""
    from actors.custody.order import HoldPlace
    from actors.custody.showing import about

    listed = f"smartpole {'hold' if signed.order.kind.startswith('hold-') else 'disclose'} list"
    outcome = box.send(signed, patience)
    if outcome is None:
        print(f"· {signed.order.kind}: nobody has decided yet, and the order waits in the pole's")
        print(f"  box. It is decided as soon as the pole runs; see `{listed}`.")
        if isinstance(signed.order, HoldPlace):
            print("  The hold is in force meanwhile: nothing in its range is deleted.")
        return WAITS
    if not outcome.accepted:
        print(f"✗ {signed.order.kind}, refused: {outcome.said}", file=sys.stderr)
    else:
        print(f"✓ {signed.order.kind}, accepted: {outcome.said}")
    print(f"  order      {signed.id}")
    for line in about(signed):
        print(f"  {line}")
    entry = box.entry_of(signed, patience)
    stands = f"entry {entry}" if entry is not None else f"not there yet; see `{listed}`"
    print(f"  ledger     {stands}")
    return OK if outcome.accepted else REFUSED
