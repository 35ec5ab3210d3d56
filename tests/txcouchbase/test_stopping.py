"""A reactor that stops while a Bucket is open, in a program of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from twisted.logger import globalLogBeginner, textFileLogObserver

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])

from twisted.internet import reactor
from txcouchbase.bucket import Bucket
from txcouchbase.testing import serve

kept = []

def opened(bucket):
    kept.extend(bucket.get(str(number), quiet=True) for number in range(5))
    for deferred in kept[1:]:
        deferred.addErrback(lambda failure: None)
    reactor.stop()

def begin():
    served = serve(reactor=reactor)
    bucket = Bucket(served.connection_string + "/default", username="user", password="password")
    kept.append(bucket)
    bucket.connect().addCallbacks(lambda _: opened(bucket), lambda failure: reactor.stop())

reactor.callWhenRunning(begin)
reactor.run()
print("over", len(kept))
"""


def test_nothing_alarming_is_logged() -> None:
    """That it closes the connections of all is no fault of the cluster's: nothing warns of it."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "over 6" in ended.stdout
    lines = [line for line in ended.stdout.splitlines() if "txcouchbase." in line]
    assert any("bucket default: 3 data nodes" in line for line in lines)
    assert not [line for line in lines if "#warn" in line or "#error" in line]
    # twistd writes lines of any level.
    assert not [line for line in lines if "lost" in line or "again" in line]
    assert "Unhandled" not in ended.stdout + ended.stderr
