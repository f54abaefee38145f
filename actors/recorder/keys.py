"""For whom recordings are encrypted: the managers' standing keys, or a key for each day.

A file of public keys has one a line: ``age1…``, valid always, or ``2026-12-01 age1…``, valid for
what is recorded on that day (Japan time). Where there are day keys, destroying a day's private key
makes that day unreadable, wherever copies of it may lie; so standing keys beside them are refused.
"""

from __future__ import annotations

__all__ = ["ALWAYS", "KeySource", "Keys", "NoKeyToday", "Recipients", "day_of", "read_keys"]

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

import structlog

from actors.recorder.age import Recipient
from actors.recorder.index import StorageTrouble
from runtime import Unrecoverable

_JAPAN = timezone(timedelta(hours=9))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_FILE = 1024 * 1024
_PATTERN = "*.pub"
ALWAYS = 9999
"""Days ahead that standing keys cover."""
_ACCEPTED = (
    "accepted: one public key a line, beginning with age1 (as age-keygen, `smartpole keys make` or "
    "`smartpole keys days` print it), before it the day if it is a day's (2026-12-01 age1…), and "
    "comments beginning with #"
)


class NoKeyToday(StorageTrouble):
    """There are day keys, and none for this day. New ones may come."""


def day_of(moment: int) -> date:
    """The day, in Japan, of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=moment)).astimezone(_JAPAN).date()


class Recipients(Protocol):
    """Who tells for whom to encrypt."""

    def for_moment(self, moment: int) -> Sequence[Recipient]:
        """The keys for what is recorded then (µs since 1970). Raises NoKeyToday."""
        ...


class Keys:
    """Public keys as they were read."""

    def __init__(
        self,
        always: Iterable[Recipient] = (),
        by_day: Mapping[date, Sequence[Recipient]] | None = None,
    ) -> None:
        self.always = tuple(always)
        self.by_day = {day: tuple(keys) for day, keys in (by_day or {}).items()}

    def for_moment(self, moment: int) -> Sequence[Recipient]:
        """See ``Recipients``."""
        if self.always:
            return self.always
        day = day_of(moment)
        if day not in self.by_day:
            raise NoKeyToday(
                f"there is no public key for {day}. On the manager's computer: smartpole keys days"
            )
        return self.by_day[day]

    def days_ahead(self, moment: int) -> int:
        """For how many days, from that one on, there are keys without a gap."""
        if self.always:
            return ALWAYS
        day = day_of(moment)
        ahead = 0
        while day + timedelta(days=ahead) in self.by_day:
            ahead += 1
        return ahead


class KeySource:
    """The keys in a file or a folder, read again when they have changed.

    In a folder all files ``*.pub`` count. That is the form for day keys: under the pole's walls a
    file that takes another's place can't be read before the pole starts anew, one that comes into
    the folder can. Methods block.
    """

    def __init__(self, path: Path, log: structlog.typing.FilteringBoundLogger) -> None:
        self._path = path
        self._log = log
        self._state: object = None
        self._keys: Keys | None = None

    def current(self) -> Keys:
        """The keys as they are now; where they can't be read any more, as they were.

        Raises Unrecoverable where they could never be read.
        """
        state = self._look()
        if self._keys is not None and state == self._state:
            return self._keys
        try:
            self._keys = read_keys(self._path)
        except Unrecoverable as error:
            if self._keys is None:
                raise
            self._log.error("new public keys not taken", reason=str(error))
        self._state = state
        return self._keys

    def for_moment(self, moment: int) -> Sequence[Recipient]:
        """See ``Recipients``."""
        return self.current().for_moment(moment)

    def _look(self) -> object:
        try:
            return [
                (path, (s := path.stat()).st_mtime_ns, s.st_size) for path in _files(self._path)
            ]
        except OSError as error:
            return error.errno


def read_keys(path: Path) -> Keys:
    """The public keys in a file, or in the ``*.pub`` files of a folder.

    Raises Unrecoverable, naming the file and the line, and never what stands there: it may be a
    private key by mistake.
    """
    always: list[Recipient] = []
    by_day: defaultdict[date, list[Recipient]] = defaultdict(list)
    try:
        files = _files(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    for file in files:
        for day, recipient in _read(file):
            (always if day is None else by_day[day]).append(recipient)
    if not always and not by_day:
        raise Unrecoverable(
            f"the recipients file {path} holds no public key, and without one nothing may be "
            f"recorded (guideline 7.3(1)). {_ACCEPTED}"
        )
    if always and by_day:
        raise Unrecoverable(
            f"{path} holds keys of days beside keys that are valid always. Who has such a key "
            "could read a day whose own key was destroyed: keep the ones or the others"
        )
    return Keys(always, by_day)


def _files(path: Path) -> list[Path]:
    return sorted(path.glob(_PATTERN)) if path.is_dir() else [path]


def _read(path: Path) -> Iterator[tuple[date | None, Recipient]]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1).decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError:
        raise Unrecoverable(f"the recipients file {path} is no text. {_ACCEPTED}") from None
    if len(text) > _LARGEST_FILE:
        raise Unrecoverable(f"the recipients file {path} is too large. {_ACCEPTED}")
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        # Nothing of it is quoted in an error: it may be a private key by mistake.
        first, _, rest = entry.partition(" ")
        day = None
        try:
            if rest and len(first) == len("2026-12-01"):
                try:
                    day = date.fromisoformat(first)
                except ValueError:
                    raise ValueError("what stands before the key is no day") from None
            yield day, Recipient(rest.strip() if day else entry)
        except ValueError as error:
            raise Unrecoverable(f"{path}, line {number}: {error}. {_ACCEPTED}") from None


def _unreadable(path: Path, error: OSError) -> Unrecoverable:
    return Unrecoverable(
        f"the recipients file {path} can't be read ({error.strerror}), and without a public "
        f"key nothing may be recorded (guideline 7.3(1)). {_ACCEPTED}"
    )
