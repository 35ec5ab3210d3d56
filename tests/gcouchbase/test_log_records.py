"""What lines of the log `gcouchbase` carry beside their text."""

from __future__ import annotations

import logging

import gevent
import pytest

from couchloop.session.events import LogRecord
from gcouchbase.bucket import write_log


def test_fields(caplog: pytest.LogCaptureFixture) -> None:
    """A record has the fields of its line as attributes; one that every record has gets a `_`."""
    fields = {"node": "127.0.0.1:11210", "delay": 0.5, "name": "k", "message": "m"}
    with caplog.at_level(logging.INFO, "gcouchbase"):
        write_log(LogRecord("info", "lost {node}; again in {delay:.1f} s", fields))
        write_log(LogRecord("debug", "nobody reads {this}", {"this": 1}))
        gevent.idle()
    (record,) = [each for each in caplog.records if each.name == "gcouchbase"]
    assert record.getMessage() == "lost 127.0.0.1:11210; again in 0.5 s"
    found = vars(record)
    assert (found["node"], found["delay"]) == ("127.0.0.1:11210", 0.5)
    assert (found["name_"], found["message_"]) == ("k", "m")
    assert record.levelno == logging.INFO
