"""The cover sheet: what is handed over, on what ground, what is missing, and how to open it.

For people who have never seen this software, Japanese first and English beside it, to be printed.
It holds nothing that is not in the package's signed orders and manifests.
"""

from __future__ import annotations

__all__ = ["render_cover"]

import functools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import jinja2

from actors.custody.order import DisclosureRequest, SignedOrder
from actors.custody.times import JAPAN
from actors.disclosure.account import Account, Kind, Piece
from actors.disclosure.contents import Contents, Film, LeftOut, Why, video_path
from actors.ledger.receipts import Ground

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Words(NamedTuple):
    """A text in both languages."""

    ja: str
    en: str


class Row(NamedTuple):
    """A stretch of a camera's time."""

    start: datetime
    end: datetime
    what: Words
    file: str
    size: int
    is_missing: bool


_GROUNDS = {
    Ground.LAW: Words(
        "法令等に基づく提供（ガイドライン 7.2(1) ①）", "A law requires it (guideline 7.2(1) ①)"
    ),
    Ground.AUTHORITY: Words(
        "捜査機関の公文書による照会（ガイドライン 7.2(1) ②）",
        "An investigative authority's official written inquiry (guideline 7.2(1) ②)",
    ),
    Ground.FACILITY: Words(
        "設置施設の事業主体からの防犯目的の要請、秘密保持契約あり（ガイドライン 7.2(1) ③）",
        "The facility's operator, for crime prevention, with an agreement of confidentiality "
        "(guideline 7.2(1) ③)",
    ),
}
_KINDS = {
    Kind.DELETED: Words(
        "保存期間が過ぎたため、提供の前に削除されました",
        "Deleted before it was handed over, because its time was over",
    ),
    Kind.OPEN: Words(
        "記録中、または停電で途切れたままで、署名がまだありません",
        "Still being recorded, or cut off by a power failure: not signed yet",
    ),
    Kind.UNACCOUNTED: Words(
        "記録がありません。理由の署名もありません", "Nothing was recorded, and no reason was signed"
    ),
}
_LEFT_OUT = {
    Why.UNOPENED: Words(
        "記録されましたが、管理者が持つ鍵では開けられません（その日の鍵が破棄された場合など）",
        "Recorded, but the manager has no key that opens it, as when its day’s key was destroyed",
    ),
    Why.TORN: Words(
        "記録の始まりで停電などにより途切れ、映像が残っていません",
        "It breaks off before its first picture, as after a power failure",
    ),
    Why.CHANGED: Words(
        "ポールが署名したものと違うため、入れていません",
        "Left out, because it is not what the pole signed",
    ),
    Why.ABSENT: Words(
        "ポールが記録しましたが、ファイルがありません。削除の署名もありません",
        "Recorded, but the file is not there, and no deletion was signed",
    ),
}
_REASONS = {
    "the pole was not running": "ポールが動いていませんでした",
    "the camera could not be reached": "カメラにつながりませんでした",
    "the camera refused the credentials": "カメラが接続を拒否しました",
    "the camera ended its stream": "カメラが送信を終えました",
    "the connection broke off": "接続が切れました",
    "the camera fell silent": "カメラから映像が届きませんでした",
    "the camera sent nothing that could be read": "カメラの映像が読み取れませんでした",
    "the recorder could not keep up": "記録が間に合いませんでした",
    "the recorder was started again": "記録装置が再起動しました",
    "no picture came": "映像が届きませんでした",
}
"""What gaps say (``actors.recorder.gaps``), in Japanese."""


def render_cover(
    *,
    contents: Contents,
    account: Account,
    request: SignedOrder,
    approver: str,
    opener: str,
) -> bytes:
    """The page, whole in one file."""
    order = request.order
    assert isinstance(order, DisclosureRequest)
    assert order.ground is not None
    films = {film.name: film for film in contents.films}
    left_out = {one.name: one for one in contents.left_out}
    page = (
        _environment()
        .get_template("cover.html")
        .render(
            contents=contents,
            order=order,
            id=request.id,
            ground=_GROUNDS[order.ground],
            requester=request.signer,
            approver=approver,
            opener=opener,
            made=datetime.fromisoformat(contents.made),
            cameras=[
                (camera, list(_rows(camera, account.pieces, films, left_out)))
                for camera in order.cameras
            ],
            breaks_off=any(film.breaks_off for film in contents.films),
            example=video_path(contents.films[0].name) if contents.films else "",
        )
    )
    return page.encode()


def _rows(
    camera: str,
    pieces: Sequence[Piece],
    films: dict[str, Film],
    left_out: dict[str, LeftOut],
) -> Iterator[Row]:
    for piece in pieces:
        if piece.camera != camera:
            continue
        film = films.get(piece.what)
        what, file = _describe(piece, film, left_out), ""
        if film is not None:
            file = video_path(film.name)
        yield Row(
            _moment(piece.start), _moment(piece.end), what, file, film.size if film else 0, not film
        )


def _describe(piece: Piece, film: Film | None, left_out: dict[str, LeftOut]) -> Words:
    if film is not None:
        if film.breaks_off:
            return Words("映像（途中で途切れています）", "Video, which breaks off before its end")
        return Words("映像", "Video")
    if piece.kind is Kind.GAP:
        reason = _REASONS.get(piece.what)
        text = Words(reason, f"{piece.what[:1].upper()}{piece.what[1:]}") if reason else None
        return text or Words("映像がありません", f"No pictures: {piece.what}")
    if piece.kind is Kind.SEGMENT:
        return _LEFT_OUT[left_out[piece.what].why]
    return _KINDS[piece.kind]


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("actors.disclosure"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "day": lambda moment: f"{moment.astimezone(JAPAN):%Y-%m-%d}",
        "clock": lambda moment: f"{moment.astimezone(JAPAN):%H:%M:%S}",
        "moment": lambda moment: f"{moment.astimezone(JAPAN):%Y-%m-%d %H:%M:%S}",
        "size": lambda size: f"{size / 1_000_000:,.1f} MB",
        "groups": lambda text: " ".join(text[at : at + 8] for at in range(0, len(text), 8)),
    }
    return environment
