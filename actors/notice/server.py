"""How Hypercorn is set up for the notice: quiet, bounded, and silent about who reads."""

from __future__ import annotations

__all__ = ["server_configuration"]

import functools
from typing import Any

import structlog
from hypercorn.config import Config
from hypercorn.logging import Logger

_GRACE_SECONDS = 2.0


def server_configuration(bind: str, log: structlog.typing.FilteringBoundLogger) -> Config:
    """Hypercorn's configuration for a socket that is listening already."""
    config = Config()
    config.bind = [bind]
    config.include_server_header = False
    config.graceful_timeout = _GRACE_SECONDS
    config.shutdown_timeout = _GRACE_SECONDS
    config.keep_alive_timeout = 5
    config.read_timeout = 10
    config.keep_alive_max_requests = 50
    config.accesslog = None
    config.errorlog = None
    # A factory serves as well as a class here: Hypercorn only calls it.
    config.logger_class = functools.partial(_QuietLogger, log)  # type: ignore[assignment]
    return config


class _QuietLogger(Logger):
    """Hypercorn's log, without the access log and without arguments.

    A client's address is personal data, and arguments and tracebacks of foreign code may hold it;
    what is left are Hypercorn's own fixed words.
    """

    def __init__(self, log: structlog.typing.FilteringBoundLogger, config: Config) -> None:
        super().__init__(config)
        self._log = log

    async def access(self, *_: Any) -> None:
        pass

    async def critical(self, message: str, *_: Any, **__: Any) -> None:
        self._log.error("the web server complains", what=message)

    async def error(self, message: str, *_: Any, **__: Any) -> None:
        self._log.error("the web server complains", what=message)

    async def exception(self, message: str, *_: Any, **__: Any) -> None:
        self._log.error("the web server complains", what=message)

    async def warning(self, message: str, *_: Any, **__: Any) -> None:
        self._log.warning("the web server warns", what=message)

    async def info(self, message: str, *_: Any, **__: Any) -> None:
        pass

    async def debug(self, message: str, *_: Any, **__: Any) -> None:
        pass

    async def log(self, level: int, message: str, *_: Any, **__: Any) -> None:
        pass
