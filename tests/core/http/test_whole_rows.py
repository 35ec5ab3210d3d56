"""Many rows of a piece at once: that the short way is taken, and never a wrong one."""

from __future__ import annotations

import pytest

from couchloop.http import whole_rows
from couchloop.http.whole_rows import Found, WholeRows

WAYS = [pytest.param(False, id="without")]
if whole_rows.split is not None:
    WAYS.append(pytest.param(True, id="msgspec"))


@pytest.fixture(params=WAYS)
def by_msgspec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether msgspec proves what was guessed."""
    if not request.param:
        monkeypatch.setattr(whole_rows, "split", None)
    return bool(request.param)


def taken(data: bytes, *, deepest: int = 500) -> Found | None:
    """Give what is found in *data*, which begins with two rows from which to learn."""
    finder = WholeRows(deepest)
    first = data.index(b"\1")
    data = data.replace(b"\1", b"", 1)
    start = next(at for at in range(first, len(data)) if data[at] not in b", \r\n")
    finder.learn(data, first, start)
    return finder.take(data, start)


@pytest.mark.usefixtures("by_msgspec")
class TestWholeRows:
    """Rows that are complete in a piece."""

    @pytest.mark.parametrize("between", [b",\n", b",", b",\r\n", b" , ", b"\n, "])
    @pytest.mark.parametrize(
        "row", [b'{"id":"a","key":[1,{}]}', b"[1,[2]]", b'"x, y"', b"12", b"null", b"{}"]
    )
    def test_services(self, between: bytes, row: bytes) -> None:
        """All rows but the last are found at once, whatever a service writes between them."""
        data = row + b"\1" + between.join([b"", *[row] * 50])
        found = taken(data)
        assert found is not None
        assert found.rows == [row] * 49
        assert data.replace(b"\1", b"")[found.end :] == between + row
        assert found.is_after_row

    def test_the_same_bytes_in_a_row(self) -> None:
        """What stands between rows may stand in them too: it ends no row there."""
        row = b'{"id":1,"in":[{"id":1},{"id":2}],"text":"},{\\"id\\":"}'
        for cut in range(1, len(row)):
            found = taken(row + b"\1," + b",".join([row] * 20) + b"," + row[:cut])
            assert found is not None
            assert found.rows[:19] == [row] * 19
            assert found.rows[19:] in ([], [row])

    @pytest.mark.parametrize(
        "text", [b"1\1,1,,2", b"1\1,1 1,2", b"1\1,,1", b"{}\1,{}{},{}", b"1\1,x,2", b"1\1,1]},2"]
    )
    def test_what_is_no_list(self, text: bytes) -> None:
        """Of what is no list of values, what follows the first fault is not taken."""
        found = taken(text)
        assert found is None or found.rows in ([], [b"1"])

    def test_depth(self) -> None:
        """A row that may be nested too deeply is left to who counts."""
        row = b"[" * 20 + b"]" * 20
        data = b"1\1,\n" + b",\n".join([b"1", row, b"1", b"1"])
        found = taken(data, deepest=19)
        assert found is None or row not in found.rows

    def test_nothing_learned(self) -> None:
        """Before two rows have been seen, nothing is guessed."""
        assert WholeRows(500).take(b"1,2,3", 0) is None
