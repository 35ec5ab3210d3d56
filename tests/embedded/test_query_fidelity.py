"""The embedded query service against recordings of a real one."""

from __future__ import annotations

import pytest

from tests.embedded import query_fidelity
from tests.embedded.query_replay import names


@pytest.mark.parametrize("recording", names())
def test_nothing_is_unexpected(recording: str) -> None:
    """Every recorded answer is given, or a reason is written down why it is not."""
    found = [
        (outcome.exchange.name, outcome.exchange.text, outcome.differences)
        for outcome in query_fidelity.score(recording).unexpected
    ]
    assert found == []


@pytest.mark.parametrize("rule", query_fidelity.RULES, ids=lambda rule: rule.exchanges)
def test_every_excuse_is_needed(rule: query_fidelity.Rule) -> None:
    """A rule that excuses nothing any more has to go."""
    key = (rule.column, rule.reason)
    assert any(key in query_fidelity.score(name).reasons for name in names())
