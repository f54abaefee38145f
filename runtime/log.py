"""Logging: structlog, in English, to standard error. No personal data, by what we log and don't."""

from __future__ import annotations

__all__ = ["configure_logging"]

import logging
import sys

import structlog


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
