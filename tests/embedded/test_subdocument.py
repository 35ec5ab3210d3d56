"""Edits by path, compared with the same edits on parsed documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded.subdocument import paths, virtual
from couchloop.embedded.subdocument.paths import PathError
from couchloop.embedded.subdocument.xattrs import normalised
from couchloop.wire import Status

_KEYS = st.text("abc", min_size=1, max_size=2)
_SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text("xyz", max_size=3)
_DOCUMENTS = st.dictionaries(
    _KEYS,
    st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
_STYLES = st.sampled_from([None, 1, "\t"])
_PATHS = st.lists(_KEYS | st.integers(0, 2), min_size=1, max_size=3)


def _write(components: list[Any]) -> str:
    """Write a path."""
    text = ""
    for component in components:
        if isinstance(component, int):
            text += f"[{component}]"
        else:
            text += f".{component}" if text else component
    return text


def _follow(document: Any, components: list[Any]) -> Any:
    for component in components:
        if isinstance(component, int) is not isinstance(document, list):
            raise TypeError
        document = document[component]
    return document


@given(_PATHS)
def test_a_path_that_is_written_is_read_alike(components: list[Any]) -> None:
    """Names and indices come back as they were."""
    assert paths.parse(_write(components)) == components


@given(_DOCUMENTS, _STYLES, _PATHS)
def test_finding_is_following(document: Any, style: Any, components: list[Any]) -> None:
    """What a path finds in a text is what it finds in the parsed document."""
    text = json.dumps(document, indent=style)
    try:
        expected = _follow(document, components)
    except (KeyError, IndexError, TypeError):
        with pytest.raises(PathError) as caught:
            paths.find(text, components)
        assert caught.value.status in {Status.SUBDOC_PATH_ENOENT, Status.SUBDOC_PATH_MISMATCH}
    else:
        assert json.loads(text[slice(*paths.find(text, components))]) == expected


@given(_DOCUMENTS, _STYLES, st.lists(_KEYS, min_size=1, max_size=3), _SCALARS)
def test_upserting_sets_one_member_and_leaves_the_rest(
    document: Any, style: Any, components: list[str], value: Any
) -> None:
    """With parents made where they are missing."""
    text = json.dumps(document, indent=style)
    try:
        edited = paths.dict_upsert(text, [*components], json.dumps(value), create=True)
    except PathError as error:
        status = error.status
    else:
        status = Status.SUCCESS
    parent = document
    for component in components[:-1]:
        if not isinstance(parent, dict):
            break
        parent = parent.setdefault(component, {})
    if not isinstance(parent, dict):
        assert status == Status.SUBDOC_PATH_MISMATCH
        return
    parent[components[-1]] = value
    assert status == Status.SUCCESS
    assert json.loads(edited) == document


@given(_DOCUMENTS, _STYLES, _PATHS)
def test_deleting_removes_one_thing(document: Any, style: Any, components: list[Any]) -> None:
    """What is left is JSON, and lacks just that."""
    text = json.dumps(document, indent=style)
    try:
        edited = paths.delete(text, components)
    except PathError:
        with pytest.raises((KeyError, IndexError, TypeError)):
            _follow(document, components)
        return
    parent = _follow(document, components[:-1])
    del parent[components[-1]]
    assert json.loads(edited) == document


@given(_DOCUMENTS, _STYLES, _PATHS, st.lists(_SCALARS, min_size=1, max_size=3), st.booleans())
def test_pushing_extends_an_array(
    document: Any, style: Any, components: list[Any], values: list[Any], first: bool
) -> None:
    """At either end, in the given order."""
    text = json.dumps(document, indent=style)
    new = ",".join(map(json.dumps, values))
    try:
        edited = paths.push(text, components, new, create=False, first=first)
    except PathError:
        return
    array = _follow(document, components)
    array[:] = [*values, *array] if first else [*array, *values]
    assert json.loads(edited) == document


@given(st.text(max_size=12))
def test_any_path_is_read_or_refused(path: str) -> None:
    """A path either gives components or says that it is none."""
    status = Status.SUCCESS
    try:
        paths.parse(path)
    except PathError as error:
        status = error.status
    # Twelve characters are too few for too many components.
    assert status in {Status.SUCCESS, Status.SUBDOC_PATH_EINVAL}


@given(st.text('{}[]",:0 a\\', max_size=20), st.sampled_from(["a", "[0]", "[-1]", "a.a"]))
def test_any_text_is_edited_or_refused(text: str, path: str) -> None:
    """Texts that are no JSON end in a status, never in another exception."""
    components = paths.parse(path)
    for attempt in (
        lambda: paths.find(text, components),
        lambda: paths.delete(text, components),
        lambda: paths.push(text, components, "1", create=True, first=True),
        lambda: paths.add(text, components, "1", create=True),
    ):
        try:
            attempt()
        except PathError:
            continue


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000])
def test_a_number_of_thousands_of_digits_is_out_of_range(text: str) -> None:
    """As a counter's value and as its delta; Python itself refuses to read such a number."""
    with pytest.raises(PathError) as caught:
        paths.add(f'{{"n":{text}}}', ["n"], "1", create=False)
    assert caught.value.status == Status.SUBDOC_NUM_ERANGE
    with pytest.raises(PathError) as caught:
        paths.add('{"n":1}', ["n"], text, create=False)
    assert caught.value.status == Status.SUBDOC_DELTA_EINVAL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1, "a": {"d": 2, "c": "\u00e9"}}', '{"a":{"c":"\u00e9","d":2},"b":1}'),
        ('{"b":"\\ud800","a":1}', '{"b":"\\ud800","a":1}'),
        (f'{{"b":{"9" * 5000},"a":1}}', f'{{"b":{"9" * 5000},"a":1}}'),
    ],
    ids=["sorted", "half a surrogate pair", "thousands of digits"],
)
def test_an_xattr_is_written_anew_or_left_alone(text: str, expected: str) -> None:
    """What cannot be written again in full is better left as it is."""
    assert normalised(text) == expected


def test_the_checksum_of_a_value() -> None:
    """CRC-32C by its published check value (RFC 3720 names the polynomial)."""
    assert virtual.crc32c(b"123456789") == 0xE3069283
