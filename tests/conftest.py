"""Async tests run on trio, in virtual time unless they are marked ``real_time``.

Virtual time jumps ahead whenever every task waits, so nothing sleeps. It does not see threads:
a test whose actors call ``blocking`` needs ``real_time``.
"""

from __future__ import annotations

import functools
import inspect

import pytest
import trio
from trio.testing import MockClock


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests on a trio loop of their own."""
    test = getattr(pyfuncitem.obj, "hypothesis", None)
    inner = test.inner_test if test is not None else pyfuncitem.obj
    if not inspect.iscoroutinefunction(inner):
        return None
    clock = None
    if pyfuncitem.get_closest_marker("real_time") is None:
        clock = functools.partial(MockClock, autojump_threshold=0)

    if test is not None:
        # Hypothesis calls the test once an example: each gets a loop.
        def run_example(**arguments: object) -> None:
            trio.run(functools.partial(inner, **arguments), clock=clock() if clock else None)

        test.inner_test = run_example
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    trio.run(functools.partial(inner, **arguments), clock=clock() if clock else None)
    return True
