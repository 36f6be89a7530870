"""Tests over real hosts, processes and terminals meet whatever else the machine does. ``scripts/test`` lets a test that
fails try once more, and prints what it said the first time: a defect fails twice. Properties get no second try (a rare
counterexample is a find), and a run with more than ``MOST`` second tries fails."""

from __future__ import annotations

import pytest

MOST = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.flaky(reruns=0))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    tries = len(reporter.stats.get("rerun", ())) if reporter else 0
    if tries > MOST:
        reporter.write_line(f"\n{tries} tests needed a second try; more than {MOST} are a defect", red=True)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
