"""A reload says which changed settings take a restart, and only those."""

from __future__ import annotations

import signal

from support.policydaemon import Policyd, config, start_lists


def test_only_what_changed_is_said_to_take_a_restart() -> None:
    with start_lists() as lists, Policyd(config(lists, 'socket_mode = "0600"')) as daemon:
        daemon.signal(signal.SIGHUP)
        assert "takes a restart" not in daemon.wait_for_log("reloaded ")
        daemon.config.write_text(config(lists, 'socket_mode = "0660"'))
        daemon.signal(signal.SIGHUP)
        log = daemon.wait_for_log("reloaded ", after=1)
    assert log.count("takes a restart") == 1
    assert "socket_mode changed; that takes a restart" in log
