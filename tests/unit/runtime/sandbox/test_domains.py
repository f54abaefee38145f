"""Domains that have something: exactly that works, and nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import SpecificationError
from runtime.sandbox import Permissions
from tests.unit.runtime.sandbox import domains
from tests.unit.runtime.sandbox.child import in_child, users

pytestmark = pytest.mark.real_time

as_whom = pytest.mark.parametrize("user", users())


@as_whom
def test_files_are_kept_below_the_folder_and_nowhere_else(user: int | None, folder: Path) -> None:
    done = in_child(domains.keep_files, user=user, folder=folder)
    refused = done.pop("refused")
    assert {name for name, outcome in refused.items() if outcome == "done"} == set()
    assert done == {
        "rows": 400,
        "mode": "wal",
        "seen by a second": 400,
        "checkpoint": 0,
        "size": 600,
        "free": True,
        "entries": ["a", "segment", "statistics.db", "there"],
        "other": {"there": "there"},
        "own": ["a", "segment", "statistics.db", "there"],
    }


@as_whom
def test_who_keeps_files_may_tell_the_time_and_never_set_it(user: int | None, folder: Path) -> None:
    assert in_child(domains.tell_the_time, user=user, folder=folder) == {
        "same boot": True,
        "same word": True,
        "same clocks": True,
        "journal": True,
        "offset": "PermissionError",
        "tick": "PermissionError",
        "status": "PermissionError",
    }


@as_whom
def test_a_film_is_read_and_nothing_written(user: int | None, folder: Path) -> None:
    done = in_child(domains.only_read, user=user, folder=folder)
    refused = done.pop("refused")
    assert {name for name, outcome in refused.items() if outcome == "done"} == set()
    assert done == {
        "packets": 10,
        "files": ["film.mp4", "held", "secret"],
        "sizes": [True, 0],
    }


def test_modules_are_imported_where_their_folders_may_be_read() -> None:
    assert in_child(domains.import_a_module) == {
        "loaded before": [],
        "without": ["PermissionError", "PermissionError"],
        "with": ["done", "done"],
    }


@as_whom
def test_only_the_ports_named_are_reached_and_served(user: int | None) -> None:
    done = in_child(domains.serve_and_connect, user=user)
    refused = done.pop("refused")
    assert set(refused.values()) == {"PermissionError"}
    assert done == {
        "received": ["hello", "hello"],
        "answer": "a notice",
        "connections": "BlockingIOError",
    }


@as_whom
def test_a_folder_and_a_port_together(user: int | None, folder: Path) -> None:
    assert in_child(domains.ports_and_folders, user=user, folder=folder) == {
        "inside": "done",
        "outside": "PermissionError",
        "port": "PermissionError",
        "exists": False,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="packet sockets need CAP_NET_RAW")
def test_packets_are_heard_and_never_sent() -> None:
    done = in_child(domains.hear_packets)
    assert set(done.pop("refused").values()) == {"PermissionError"}
    assert done == {"kind": 772, "heard": True}


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_no_port_stands_for_any(port: int) -> None:
    with pytest.raises(SpecificationError, match="between 1 and 65535"):
        Permissions(connect=(port,))
    with pytest.raises(SpecificationError, match="between 1 and 65535"):
        Permissions(listen=(port,))


def test_a_packet_socket_allows_no_other_way_to_send() -> None:
    for other in (
        {"write": (Path("/var"),)},
        {"connect": (80,)},
        {"listen": (80,)},
        {"resolve": True},
    ):
        with pytest.raises(SpecificationError, match="packet socket"):
            Permissions(packets=True, **other)
