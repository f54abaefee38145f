"""The public notice: what this pole does, for everyone who passes by."""

from actors.notice.actor import Notice
from actors.notice.port import NoticePort, NoticeSettings

__all__ = ["Notice", "NoticePort", "NoticeSettings"]
