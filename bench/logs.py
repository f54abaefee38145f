"""Logging while something is measured: done as on a pole, and shown to nobody."""

from __future__ import annotations

__all__ = ["quietly"]

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def quietly() -> Iterator[None]:
    """Log JSON lines at a pole's usual level into nowhere, since logging has its cost."""
    before = structlog.get_config()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_: structlog.PrintLogger(nowhere),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**before)
