"""Logging: structlog, in English, to standard error. No personal data, by what we log and don't."""

from __future__ import annotations

__all__ = ["LogSink", "configure_logging", "relay_logs"]

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

LogSink = Callable[[str, dict[str, Any]], None]
"""Takes a line's level and its fields, ``event`` among them."""


class _Here(threading.local):
    sink: LogSink | None = None


_here = _Here()


def relay_logs(sink: LogSink | None) -> None:
    """Hand what this thread logs to ``sink`` from now on, instead of writing it.

    A domain under a sandbox can write nowhere: its lines go to the pole, which writes them. None
    ends it.
    """
    _here.sink = sink
    processors = structlog.get_config()["processors"]
    if sink is not None and _relay not in processors:
        structlog.configure(processors=[_relay, *processors])


def _relay(_: object, level: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if _here.sink is None:
        return fields
    _here.sink(level, dict(fields))
    raise structlog.DropEvent


def configure_logging(level: str = "info") -> None:
    """Lines for a person on a terminal, JSON for a machine elsewhere.

    ``level`` is one of debug, info, warning, error.
    """
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=True)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _relay,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        # Looked up at each line, because the live view takes standard error over for a while.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
