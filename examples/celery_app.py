"""Celery with greenlets, and results in a bucket.

pip install couchloop[gevent] celery
export COUCHBASE=couchloop://user:password@HOST/default BROKER=redis://HOST
celery --workdir examples -A celery_app worker -P gevent -c 500
python examples/celery_app.py
"""

from __future__ import annotations

import os

from celery import Celery, chord, group

app = Celery(
    "celery_app",
    broker=os.environ.get("BROKER", "redis://localhost"),
    backend=os.environ.get("COUCHBASE", "couchloop://user:password@localhost/default"),
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    # One backend for all greenlets: it keeps nothing of any of them.
    result_backend_thread_safe=True,
    result_expires=3600,
)


@app.task
def double(number: int) -> int:
    """Return twice *number*."""
    return 2 * number


@app.task
def total(numbers: list[int]) -> int:
    """Return the sum."""
    return sum(numbers)


@app.task
def fail() -> None:
    """Raise an error, which comes back to whoever asks for the result."""
    raise ValueError("as told")


def main() -> None:
    """Ask for results in each way."""
    print("one:", double.delay(21).get(timeout=30))
    print("group:", sum(group(double.s(number) for number in range(50))().get(timeout=30)))
    print("chord:", chord((double.s(n) for n in range(20)), total.s())().get(timeout=30))
    try:
        fail.delay().get(timeout=30)
    except ValueError as error:
        print("error:", error)


if __name__ == "__main__":
    main()
