"""Many rows of a piece at once: that the short way is taken, and never a wrong one."""

from __future__ import annotations

import pytest

from couchloop.http import whole_rows
from couchloop.http.whole_rows import (
    Found,
    Read,
    WholeAnswer,
    WholeRows,
    try_decode_list,
    whole_answer,
)

WAYS = [pytest.param(False, id="without")]
if whole_rows.split is not None:
    WAYS.append(pytest.param(True, id="msgspec"))


@pytest.fixture(params=WAYS)
def by_msgspec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether msgspec proves what was guessed."""
    if not request.param:
        monkeypatch.setattr(whole_rows, "split", None)
    return bool(request.param)


def taken(data: bytes, *, deepest: int = 500, read: Read | None = None) -> Found | None:
    """Give what is found in *data*, which begins with two rows from which to learn."""
    finder = WholeRows(deepest, read)
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


NEEDS_MSGSPEC = pytest.mark.skipif(try_decode_list is None, reason="msgspec reads them")


@NEEDS_MSGSPEC
class TestReadTogether:
    """Rows that are read where they are found."""

    def test_what_they_mean(self) -> None:
        """All are given as what they mean."""
        data = b"{}\1,\n" + b",\n".join([b'{"a":[1,{}]}', b'{"b":"x, y"}', b"{}", b'{"c":7}'])
        found = taken(data, read=try_decode_list)
        assert found is not None
        assert found.rows == [{"a": [1, {}]}, {"b": "x, y"}, {}]
        assert data.replace(b"\1", b"")[found.end :] == b',\n{"c":7}'

    @pytest.mark.parametrize(
        "row",
        [
            pytest.param(rb'"\ud800"', id="what only json reads"),
            pytest.param(b"[" * 16 + b"]" * 16, id="deep"),
            pytest.param(b'"]"', id="brackets in a text"),
        ],
    )
    def test_what_is_left_to_others(self, row: bytes) -> None:
        """Of what cannot be read so, the bytes are given: all of them."""
        found = taken(b"1\1,\n" + b",\n".join([b"1", row, b"1", b"1"]), read=try_decode_list)
        assert found is not None
        assert found.rows == [b"1", row, b"1"]

    def test_depth(self) -> None:
        """Who bounds the depth more tightly than is looked at here has each row counted."""
        data = b"1\1,\n" + b",\n".join([b"1", b"[[[]]]", b"1", b"1"])
        found = taken(data, deepest=2, read=try_decode_list)
        assert found is None or b"[[[]]]" not in found.rows


@NEEDS_MSGSPEC
class TestWholeAnswer:
    """A small answer that is all there."""

    def test_parts(self) -> None:
        """Its rows and its other members, as bytes or as what the rows mean."""
        data = b' {"a" : 1,\n"rows": [ {"a": "b"},2 ], "b":[null]} \r\n'
        others = {"a": b"1", "b": b"[null]"}
        found = whole_answer(data, "rows", 9)
        assert found == WholeAnswer([b'{"a": "b"}', b"2"], has_member=True, others=others)
        found = whole_answer(data, "rows", 9, try_decode_list)
        assert found == WholeAnswer([{"a": "b"}, 2], has_member=True, others=others)

    def test_no_rows(self) -> None:
        """None are not the same as no list of them."""
        assert whole_answer(b'{"a":1}', "rows", 9) == WholeAnswer(None, False, {"a": b"1"})
        assert whole_answer(b'{"rows":null}', "rows", 9) == WholeAnswer(None, True, {})
        assert whole_answer(b'{"rows":[]}', "rows", 9) == WholeAnswer([], True, {})

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"[]",
            b'{"rows":[1]',
            b'{"rows":[1]}}',
            b'{"rows":[1 2]}',
            b'{"rows":{}}',
            b'{"rows":7}',
            b'{"a":1,"a":1,"rows":[]}',
            b'{"rows":[1],"rows":[1]}',
            b'{"rows":[1],"a":2,"rows":[3]}',
            rb'{"a":1,"\u0061":2}',
            rb'{"r\u006fws":[]}',
            b'{"a":[[[[[[[[[]]]]]]]]]}',
            b'{"rows":[{"a":{"b":{"c":{"d":{"e":{"f":{"g":{}}}}}}}}]}',
            b'{"a":{"rows":1},"rows":[]}',
        ],
    )
    def test_what_is_not_known(self, data: bytes) -> None:
        """What is broken, or may mean two things, is left to who reads it from the begin."""
        assert whole_answer(data, "rows", 9) is None

    def test_without_msgspec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is known then."""
        monkeypatch.setattr(whole_rows, "split", None)
        assert whole_answer(b'{"rows":[]}', "rows", 9) is None
