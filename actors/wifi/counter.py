"""Counting devices without keeping an address (guideline 4.1(1), 6.1(1))."""

from __future__ import annotations

__all__ = ["MOST_DEVICES", "SliceCounter"]

import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

MOST_DEVICES = 9_999
"""Where counting stops (the bound of ``Count``), which also bounds the memory it takes."""

_KEY_BYTES = 32
_DIGEST_BYTES = 8
"""Two of 9,999 devices share a digest once in about 4 × 10¹¹ slices."""


class SliceCounter:
    """Counts the different transmitters of one time slice, then of the next.

    What it holds of a device is its address's HMAC-SHA256, cut to 8 bytes, under a random key
    that lives for one slice. When the slice ends, digests and key are gone: nobody, this program
    included, can tell whether a device of one slice comes again in another.

    Randomised (locally administered) addresses count like others. Modern phones change theirs
    while they look for networks, so the count of a slice is too high rather than too low, and
    the longer the slice the more so.

    Python's own ``hmac`` would do as well. ``cryptography``'s context is set up once a slice and
    copied for each address, which takes half the time, and OpenSSL overwrites it when it is freed.
    """

    __slots__ = ("_context", "_digests")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        key = bytearray(os.urandom(_KEY_BYTES))
        self._context = HMAC(key, SHA256())
        # From here on the key exists only inside the context.
        key[:] = bytes(_KEY_BYTES)
        self._digests: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._digests)} devices>"

    @property
    def devices(self) -> int:
        """How many different transmitters this slice has had so far, 9,999 at most."""
        return len(self._digests)

    def add(self, address: bytes) -> None:
        """A transmitter was heard. Its address is forgotten before this returns."""
        if len(self._digests) >= MOST_DEVICES:
            return
        context = self._context.copy()
        context.update(address)
        self._digests.add(context.finalize()[:_DIGEST_BYTES])

    def finish(self) -> int:
        """End the slice: returns its count, forgets digests and key, begins the next slice."""
        devices = len(self._digests)
        self._digests.clear()
        self._begin()
        return devices
