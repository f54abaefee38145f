"""Roots and proofs against published vectors, against pymerkle, and against each other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from runtime.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    root_of,
)

# The vectors of Certificate Transparency's reference implementation of RFC 6962.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A, B, C = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
MANY = [leaf_hash(bytes([number])) for number in range(40)]


def test_an_empty_trees_root() -> None:
    assert EMPTY_ROOT.hex() == ROOTS[0]
    assert Frontier().root() == EMPTY_ROOT == root_of([])


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [(0, 1, []), (0, 8, [A, B, C]), (5, 8, [D, E, ROOTS[4]]), (2, 3, [ROOTS[2]]),
     (1, 5, [ROOTS[1], B, D])],
)  # fmt: skip
def test_published_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    found = inclusion_proof(LEAVES[:size], index)
    assert [one.hex() for one in found] == path
    root = bytes.fromhex(ROOTS[size])
    assert is_included(LEAVES[index], index=index, size=size, root=root, path=found)


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [F, E, ROOTS[4]]), (2, 5, [B, D])],
)
def test_published_consistency_proofs(old: int, new: int, path: list[str]) -> None:
    found = consistency_proof(LEAVES[:new], old)
    assert [one.hex() for one in found] == path
    assert is_consistent(
        old_size=old,
        old_root=bytes.fromhex(ROOTS[old]),
        new_size=new,
        new_root=bytes.fromhex(ROOTS[new]),
        path=found,
    )


def test_every_proof_of_inclusion_in_small_logs_holds_for_its_entry_alone() -> None:
    for size in range(1, 24):
        leaves = MANY[:size]
        root = root_of(leaves)
        for index in range(size):
            path = inclusion_proof(leaves, index)
            for place, leaf in itertools.product(range(size), leaves):
                holds = is_included(leaf, index=place, size=size, root=root, path=path)
                assert holds == (place == index and leaf == leaves[index])
            assert not is_included(
                leaves[index], index=index, size=size, root=root_of(leaves[:-1]), path=path
            )
            assert not is_included(
                leaves[index], index=index, size=size, root=root, path=[*path, MANY[0]]
            )
            if path:
                assert not is_included(
                    leaves[index], index=index, size=size, root=root, path=path[:-1]
                )


def test_every_proof_of_growth_in_small_logs_holds_for_its_logs_alone() -> None:
    roots = [root_of(MANY[:size]) for size in range(25)]
    for new in range(25):
        for old in range(new + 1):
            path = consistency_proof(MANY[:new], old)
            for other in range(new + 1):
                holds = is_consistent(
                    old_size=other,
                    old_root=roots[other],
                    new_size=new,
                    new_root=roots[new],
                    path=path,
                )
                # Of two that need no hashes the proof is the same: none.
                assert holds == (other == old or (not path and other in (0, new)))
            if path:
                changed = [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]
                for wrong in (changed, path[1:], [*path, MANY[0]]):
                    assert not is_consistent(
                        old_size=old,
                        old_root=roots[old],
                        new_size=new,
                        new_root=roots[new],
                        path=wrong,
                    )


def test_a_log_is_no_beginning_of_a_shorter_one() -> None:
    roots = [root_of(MANY[:size]) for size in (5, 3)]
    assert not is_consistent(old_size=5, old_root=roots[0], new_size=3, new_root=roots[1], path=[])


@pytest.mark.parametrize("index", [-1, 3])
def test_nothing_is_proved_of_an_entry_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof(MANY[:3], index)
    with pytest.raises(IndexError):
        consistency_proof(MANY[:3], index if index < 0 else 4)
    assert not is_included(MANY[0], index=index, size=3, root=root_of(MANY[:3]), path=[])


@given(st.lists(st.binary(max_size=40), max_size=70), st.data())
def test_roots_and_proofs_are_those_of_pymerkle(entries: list[bytes], data: st.DataObject) -> None:
    tree = InmemoryTree(algorithm="sha256")
    leaves = []
    frontier = Frontier()
    for entry in entries:
        tree.append_entry(entry)
        leaves.append(leaf_hash(entry))
        frontier.push(leaves[-1])
    if not entries:
        return
    assert frontier.root() == tree.get_root() == root_of(leaves)
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    assert tree.get_root(size) == root_of(leaves[:size])
    theirs = tree.prove_inclusion(index + 1, size)
    assert theirs.path[1:] == inclusion_proof(leaves[:size], index)
    theirs.verify(leaves[index], root_of(leaves[:size]), index=index + 1, size=size)
    grown = tree.prove_consistency(size)
    grown.verify(root_of(leaves[:size]), frontier.root(), size, len(entries))


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_frontier_goes_on_where_it_was_left(first: int, more: int) -> None:
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(first + more)]
    frontier = Frontier()
    for leaf in leaves[:first]:
        frontier.push(leaf)
    going_on = Frontier(frontier.size, frontier.peaks)
    copied = frontier.copy()
    for leaf in leaves[first:]:
        going_on.push(leaf)
    assert going_on.root() == root_of(leaves)
    assert going_on.size == first + more
    assert copied.root() == root_of(leaves[:first])


@pytest.mark.parametrize(("size", "peaks"), [(1, []), (2, [b"x" * 32] * 2), (1, [b"x"]), (-1, [])])
def test_a_frontier_that_no_tree_has_is_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="no such frontier"):
        Frontier(size, peaks)
