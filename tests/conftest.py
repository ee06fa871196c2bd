"""For every test: the fixture `dnsbl_server`, and a summary of the tests whose programs are missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("dnsbl") is None:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).parents[1]))


def pytest_configure(config: pytest.Config) -> None:
    # Registered already where the package is installed: pluggy refuses one module under two names.
    from dnsbl.testing import plugin

    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, plugin.__name__)
