"""The style, and the policy that allows no other."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

from couchloop.status.style import POLICY, STYLE


def test_policy() -> None:
    """It has the hash of this style, and allows neither scripts nor anything from elsewhere."""
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    allowed = rules.pop("style-src").strip("'").removeprefix("sha256-")
    assert b64decode(allowed) == sha256(STYLE.encode()).digest()
    assert rules == dict.fromkeys(
        ("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'"
    )


def test_nothing_from_elsewhere() -> None:
    """The style ends nowhere but at its end, and loads nothing."""
    assert not [bad for bad in ("<", "@import", "url(", "//") if bad in STYLE]
