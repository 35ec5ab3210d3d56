"""The headers of an answer as users are given them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.http.headers import Headers

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1)


@given(st.dictionaries(NAMES, st.text()), st.data())
def test_any_case(known: dict[str, str], data: st.DataObject) -> None:
    """A name is found however it is written; the whole is a dict like any other."""
    headers = Headers(known)
    assert headers == known
    assert json.loads(json.dumps(headers)) == known
    for name, value in known.items():
        written = "".join(each.upper() if data.draw(st.booleans()) else each for each in name)
        assert headers[written] == headers.get(written, "none") == value
        assert written in headers


def test_none() -> None:
    """What is not there is missing as from a dict, by the name that was asked for."""
    headers = Headers({"etag": "x"})
    for name in ("Content-Type", "content-type"):
        assert name not in headers
        assert headers.get(name) is None
        assert headers.get(name, "none") == "none"
        with pytest.raises(KeyError, match="-"):
            headers[name]
    with pytest.raises(KeyError, match="5"):
        headers[5]  # type: ignore[index]
    assert 5 not in headers  # type: ignore[comparison-overlap]
