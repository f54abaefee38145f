"""Every attempt, by category. Importing this package registers them all."""

from actors.escape.attempts import (
    crashes,
    files,
    handles,
    heap,
    held,
    kernel,
    loops,
    messages,
    network,
    outputs,
    processes,
    procfs,
    suites,
    threads,
)

__all__ = [
    "crashes",
    "files",
    "handles",
    "heap",
    "held",
    "kernel",
    "loops",
    "messages",
    "network",
    "outputs",
    "processes",
    "procfs",
    "suites",
    "threads",
]
