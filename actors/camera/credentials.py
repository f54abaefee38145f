"""A camera's user and password: in a file that nobody else may read, never in the configuration.

A configuration is read by auditors, copied and shown; a credential is not. So it stands in a file
of one line, ``USER:PASSWORD``, with mode 0600, or in a credential that systemd hands to the unit
(``LoadCredential=``): ``systemd:NAME``.
"""

from __future__ import annotations

__all__ = ["CredentialFile", "CredentialTrouble"]

import os
import stat
from pathlib import Path
from urllib.parse import quote

from runtime import SmartpoleError

_SYSTEMD = "systemd:"
_DIRECTORY = "CREDENTIALS_DIRECTORY"
_LONGEST = 1024


class CredentialTrouble(SmartpoleError):
    """Credentials that can't be used. Quotes nothing of them."""


class CredentialFile:
    """Where credentials stand. It shows the place and never the content."""

    __slots__ = ("_is_kept", "path")

    def __init__(self, path: Path, *, is_kept: bool = False) -> None:
        self.path = path
        self._is_kept = is_kept
        """Whether the service manager keeps it, whose modes stand for access lists."""

    @classmethod
    def from_text(cls, text: str, folder: Path) -> CredentialFile:
        """See ``runtime.config.FromText``."""
        if not text.startswith(_SYSTEMD):
            return cls((folder / Path(text).expanduser()).resolve())
        name, given = text.removeprefix(_SYSTEMD), os.environ.get(_DIRECTORY, "")
        if not name or "/" in name or name in (".", ".."):
            raise ValueError('Expected a credential such as "systemd:camera-1"')
        # Elsewhere than under the service manager, `smartpole check` still reads the configuration.
        return cls(Path(given or "/run/credentials") / name, is_kept=bool(given))

    def read(self) -> str:
        """``USER:PASSWORD@`` as it is written in an address. Blocks; raises CredentialTrouble."""
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(_LONGEST + 1)
        except OSError as error:
            raise CredentialTrouble(
                f"the credentials in {self.path} can't be read ({error.strerror}). After the file "
                "was exchanged for another, the pole has to be started anew"
            ) from None
        if mode & 0o077 and not self._is_kept:
            raise CredentialTrouble(
                f"the credentials in {self.path} have mode {mode:04o}: others may read them. Take "
                f"them for known, change them in the camera, and run: chmod 600 {self.path}"
            )
        try:
            user, colon, password = content.decode("utf-8").rstrip("\r\n").partition(":")
        except UnicodeDecodeError:
            user = colon = password = ""
        if not user or not colon or "\n" in password or len(content) > _LONGEST:
            raise CredentialTrouble(
                f"{self.path} holds no credentials. Accepted: one line USER:PASSWORD"
            )
        return f"{quote(user, safe='')}:{quote(password, safe='')}@"

    def __repr__(self) -> str:
        return f"CredentialFile({str(self.path)!r})"
