"""The one error of this package: a model that cannot be had, trusted or run as asked."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ModelError"]


class ModelError(Exception):
    """A model cannot be had, trusted or run as asked.

    The message is written for the person at the pole: `who` it concerns, `what` went wrong,
    `why`, and what `accepted` instead. The four parts stay readable as attributes, so that a
    command can lay them out and a test need not read prose.
    """

    def __init__(self, who: str, what: str, *, why: str = "", accepted: str = "") -> None:
        self.who = who
        self.what = what
        self.why = why
        self.accepted = accepted
        super().__init__("\n  ".join(self._lines()))

    def _lines(self) -> Iterable[str]:
        yield f"{self.who}: {self.what}"
        if self.why:
            yield f"why: {self.why}"
        if self.accepted:
            yield f"accepted: {self.accepted}"
