"""Merkle trees as RFC 6962 and RFC 9162 hash them: roots, and proofs of inclusion and consistency.

Nothing here knows what an entry is. A tree is the sequence of its leaf hashes, 32 bytes each.
"""

from __future__ import annotations

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "consistency_proof",
    "inclusion_proof",
    "is_consistent",
    "is_included",
    "leaf_hash",
    "root_of",
]

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without entries (RFC 9162, 2.1.1)."""

_HASH_SIZE = 32


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry. Its prefix tells it from every inner node's."""
    return sha256(b"\0" + entry).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """What of a tree is needed to append to it and to know its root: the roots of the perfect
    subtrees that it is made of, largest first; at most one for each bit of its size."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        fits = len(self.peaks) == size.bit_count() and size >= 0
        if not fits or any(len(peak) != _HASH_SIZE for peak in self.peaks):
            raise ValueError(f"a tree of {size} entries has no such frontier")

    def push(self, leaf: bytes) -> None:
        """Append an entry, given by its leaf hash."""
        size, peaks = self.size, self.peaks
        self.size = size + 1
        while size & 1:
            leaf = sha256(b"\1" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)

    def root(self) -> bytes:
        """The root hash of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        *larger, root = self.peaks
        for peak in reversed(larger):
            root = _node_hash(peak, root)
        return root

    def copy(self) -> Frontier:
        """The same tree, to be appended to apart from this one."""
        return Frontier(self.size, self.peaks)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root hash over these leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.push(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of an entry (RFC 9162, 2.1.3.1), from its sibling up to the root's child."""
    low, high = 0, len(leaves)
    if not 0 <= index < high:
        raise IndexError(index)
    path = []
    while high - low > 1:
        middle = low + _largest_power_below(high - low)
        if index < middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    path.reverse()
    return path


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """That the tree of the first ``size`` entries is the beginning of this one (RFC 9162,
    2.1.4.1). Empty where one of them is empty, or both are the same."""
    low, high = 0, len(leaves)
    if not 0 <= size <= high:
        raise IndexError(size)
    if size == 0:
        return []
    path = []
    while size != high:
        middle = low + _largest_power_below(high - low)
        if size <= middle:
            path.append(root_of(leaves[middle:high]))
            high = middle
        else:
            path.append(root_of(leaves[low:middle]))
            low = middle
    if low:
        path.append(root_of(leaves[low:high]))
    path.reverse()
    return path


def is_included(leaf: bytes, *, index: int, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path proves that ``leaf`` is the entry at ``index`` of the tree of that size and
    root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    here, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = _node_hash(sibling, found)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            found = _node_hash(found, sibling)
        here >>= 1
        last >>= 1
    return last == 0 and found == root


def is_consistent(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the path proves that the old tree is the beginning of the new one (RFC 9162,
    2.1.4.2)."""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    if old_size == new_size:
        return not path and old_root == new_root
    hashes = list(path)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    here, last = old_size - 1, new_size - 1
    while here & 1:
        here >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old, new = _node_hash(sibling, old), _node_hash(sibling, new)
            while here and not here & 1:
                here >>= 1
                last >>= 1
        else:
            new = _node_hash(new, sibling)
        here >>= 1
        last >>= 1
    return last == 0 and old == old_root and new == new_root


def _largest_power_below(size: int) -> int:
    """The largest power of two that is smaller than ``size``, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
