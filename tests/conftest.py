"""For every test: the fixture `dnsbl_server`, and a summary of the tests whose programs are missing."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.servers import NOT_RUN, needs

if importlib.util.find_spec("dnsbl") is None:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).parents[1]))

__all__ = ["needs"]

# A test's own limit ends one that hangs; a slow example on a busy machine is no fault.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what is to run in the background with SIGINT ignored, and a child would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Registered already where the package is installed: pluggy refuses one module under two names.
    from dnsbl.testing import plugin

    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, plugin.__name__)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what did not run and which Debian packages it takes."""
    missing: set[str] = set()
    count = 0
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, mark, what = reason.partition(NOT_RUN)
        if mark:
            count += 1
            missing.update(what.split(", "))
    if count:
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.section("NOT RUN", sep="=")
        terminalreporter.write_line(f"{tests} did not run; missing: {', '.join(sorted(missing))}")
