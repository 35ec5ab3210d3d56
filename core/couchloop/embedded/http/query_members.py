"""What a request to the query service says: its members, by whatever form they came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from couchloop.embedded.http.router import HttpRequest
from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.texts import NotJsonError, decode, mended
from couchloop.embedded.sqlpp.values import Binary, Value

_LONGEST_ID: Final = 64
"""Characters of a client_context_id that are kept."""

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_DURATION: Final = re.compile(r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?(?:ns|us|µs|μs|ms|s|m|h|d))+")
_PART: Final = re.compile(r"([0-9.]+)([a-zµμ]+)")
_SECONDS: Final = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{0,12})?")
_CLOCK: Final = re.compile(r"([0-9]{1,4}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?")

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_LEVELS: Final = frozenset(
    {"", "none", "majority", "majorityandpersistactive", "persisttomajority"}
)
_CONSISTENCIES: Final = frozenset({"", "not_bounded", "request_plus", "statement_plus", "at_plus"})
_PROFILES: Final = frozenset({"", "off", "phases", "timings", "benchmark"})

_CONTEXT: Final = re.compile(
    r"(?:(?P<namespace>default|`default`)\s*:)?"
    r"(?:(?P<bucket>`[^`]+`|[^`.:\s]+)(?:\.(?P<scope>`[^`]+`|[^`.:\s]+))?)?"
)


@dataclass(slots=True)
class Members:
    """What a request says."""

    statement: str | None = None
    prepared: str | None = None
    encoded_plan: str = ""
    """Another node's, of a statement that was prepared there."""
    named: dict[str, Value] = field(default_factory=dict)
    positional: list[Value] = field(default_factory=list)
    context_id: str = ""
    """What `client_context_id` says."""
    timeout: float = 0.0
    """Seconds; 0: none."""
    timeout_text: str = ""
    readonly: bool = False
    metrics: bool = True
    signature: bool = True
    pretty: bool = False
    controls: bool = False
    auto_execute: bool = False
    preserve_expiry: bool = False
    sort_projection: bool = False
    profile: str = "off"
    consistency: str = "unbounded"
    bucket: str = ""
    """Of the query context."""
    scope: str = ""
    memory_quota: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    """The members as they came, by their names in small letters."""


class _Given(NamedTuple):
    """A member as it came."""

    name: str
    """In small letters."""
    value: Any
    """A text, if it came in a form."""
    in_form: bool


_Setter: TypeAlias = Callable[[Members, _Given], None]


def read(request: HttpRequest, members: Members, more: frozenset[str] = frozenset()) -> None:
    """Read a request into *members*. Raises QueryError; what was read before stays.

    Args:
        request: what came.
        members: what it says.
        more: names, in small letters, of members that only go into `Members.given`.
    """
    pairs, is_form = _pairs(request)
    members.readonly = request.method != "POST"
    for name, value in pairs:
        if name.lower() in more:
            members.given[name.lower()] = value
        else:
            _take(members, name, value, in_form=is_form)
    _check_together(members)


def _pairs(request: HttpRequest) -> tuple[list[tuple[str, Any]], bool]:
    """Return names and values in their order, and whether the values are texts of a form."""
    if request.method != "POST":
        return _form(list(request.query.items()))
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return _json(request.body), False
    text = request.body.decode("utf-8", "replace")
    if content_type == "application/x-www-form-urlencoded":
        return _form(parse_qsl(text, keep_blank_values=True))
    return [*request.query.items(), ("statement", text)], True


def _form(pairs: list[tuple[str, str]]) -> tuple[list[tuple[str, Any]], bool]:
    names = [name.lower() for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise QueryError(1060, f"Multiple values for {name}.")
    return list(pairs), True


def _json(body: bytes) -> list[tuple[str, Any]]:
    text = body.decode("utf-8", "replace")
    try:
        found, end = _OBJECT.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except (ValueError, RecursionError):
        # Recorded: what is no object has no statement.
        return []
    rest = text[end:].strip(" \t\r\n")
    if rest:
        cause = f"invalid character '{rest[0]}' after top-level value"
        raise QueryError(1040, f"Error processing getting key - cause: {cause}")
    if not isinstance(found, _Pairs):
        return []
    names = [name.lower() for name, _ in found]
    if names.count("statement") > 1 or names.count("prepared") > 1:
        raise QueryError(1060, "Multiple values for statement and prepared.")
    return [(name, _plain(value)) for name, value in found]


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, doubled ones too."""


def _plain(value: Any) -> Any:
    """Return a value without `_Pairs`."""
    if isinstance(value, _Pairs):
        return {name: _plain(each) for name, each in value}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _refuse(text: str) -> Any:
    raise ValueError(text)


_OBJECT: Final = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_refuse)


# --- members ------------------------------------------------------------------------------------


def _take(members: Members, name: str, value: Any, *, in_form: bool) -> None:
    if name[:1] in {"$", "@"} and len(name) > 1:
        members.named[mended(name[1:])] = _argument(value, in_form=in_form)
        return
    lower = name.lower()
    setter = _SETTERS.get(lower)
    if setter is None:
        raise QueryError(1065, f"Unrecognized parameter in request: {name}")
    members.given[lower] = value
    setter(members, _Given(lower, value, in_form))


def _argument(value: Any, *, in_form: bool) -> Value:
    """Return an argument as a value of the language."""
    if not in_form:
        return decode(json.dumps(value))
    try:
        return decode(value)
    except NotJsonError:
        return Binary(value.encode("utf-8", "replace"))


def _wrong_type(given: _Given, kind: str) -> QueryError:
    return QueryError(1070, f"{given.name} has to be of type {kind}")


def _unusable(given: _Given) -> QueryError:
    cause = f"{given.name} is invalid"
    return QueryError(1040, f"Error processing {given.name} - cause: {cause}")


def _string(given: _Given) -> str:
    if not isinstance(given.value, str):
        raise _wrong_type(given, "string")
    return given.value


def _tristate(given: _Given) -> bool | None:
    """Return what a boolean says; None: it is empty, which only a form can have."""
    value = given.value
    if isinstance(value, bool):
        return value
    if not given.in_form:
        raise _wrong_type(given, "boolean")
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    if value:
        cause = "unable to parse tristate as a boolean"
        raise QueryError(1040, f"Error processing {given.name} - cause: {cause}")
    return None


def _flag(attribute: str) -> _Setter:
    def setter(members: Members, given: _Given) -> None:
        value = _tristate(given)
        if value is not None:
            setattr(members, attribute, value)

    return setter


def _readonly(members: Members, given: _Given) -> None:
    # What came by GET is read-only, whatever it says.
    members.readonly = bool(_tristate(given)) or members.readonly


def _ignored_flag(_: Members, given: _Given) -> None:
    _tristate(given)


def _ignored_text(_: Members, given: _Given) -> None:
    _string(given)


def _ignored_duration(_: Members, given: _Given) -> None:
    seconds(_string(given))


def _ignored_number(_: Members, given: _Given) -> None:
    _number(given)


def _ignored(_: Members, __: _Given) -> None:
    """Take anything."""


def _number(given: _Given) -> int:
    value = given.value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        return int(value)
    raise _unusable(given)


def _statement(members: Members, given: _Given) -> None:
    members.statement = mended(_string(given))


def _prepared(members: Members, given: _Given) -> None:
    if not isinstance(given.value, str):
        cause = f"JSON unmarshalling error: Invalid prepared stmt {json.dumps(given.value)}"
        raise QueryError(4050, f"Unrecognizable prepared statement - cause: {cause}")
    members.prepared = given.value


def _plan(members: Members, given: _Given) -> None:
    members.encoded_plan = _string(given)


def _args(members: Members, given: _Given) -> None:
    value = given.value
    if given.in_form:
        try:
            value = decode(value)
        except NotJsonError:
            value = None
        if not isinstance(value, list):
            cause = "unable to parse args parameter as array"
            raise QueryError(1040, f"Error processing args - cause: {cause}")
    elif not isinstance(value, list):
        raise _wrong_type(given, "array")
    else:
        value = decode(json.dumps(value))
    members.positional = value


def _context_id(members: Members, given: _Given) -> None:
    text = _string(given)
    if '"' in text or "\\" in text:
        raise QueryError(1110, 'forbidden character (\\ or ") in client_context_id')
    members.context_id = text[:_LONGEST_ID]


def _timeout(members: Members, given: _Given) -> None:
    members.timeout_text = _string(given)
    longest, wanted = members.timeout, max(0.0, seconds(members.timeout_text))
    members.timeout = min(longest, wanted) if longest and wanted else longest or wanted


def _profile(members: Members, given: _Given) -> None:
    text = _string(given)
    if text.lower() not in _PROFILES:
        raise QueryError(1030, f"Unknown profile value: {text}")
    members.profile = text.lower() or "off"


def _consistency(members: Members, given: _Given) -> None:
    text = _string(given)
    if text.lower() not in _CONSISTENCIES:
        raise QueryError(1030, f"Unknown scan_consistency value: {text}")
    unbounded = text.lower() in {"", "not_bounded"}
    members.consistency = "unbounded" if unbounded else text.lower()


def _format(_: Members, given: _Given) -> None:
    text = _string(given)
    if text.lower() not in {"", "json"}:
        raise QueryError(1020, f"{text} format not yet implemented")


def _encoding(_: Members, given: _Given) -> None:
    text = _string(given)
    if text.lower() not in {"", "utf-8"}:
        raise QueryError(1030, f"Unknown encoding value: {text}")


def _compression(_: Members, given: _Given) -> None:
    text = _string(given)
    if text.lower() not in {"", "none"}:
        raise QueryError(1020, f"{text} compression not yet implemented")


def _creds(_: Members, given: _Given) -> None:
    value = given.value
    if given.in_form:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _wrong_type(given, "array of { user, pass }")


def _durability(_: Members, given: _Given) -> None:
    if _string(given).lower() not in _LEVELS:
        raise _unusable(given)


def _memory_quota(members: Members, given: _Given) -> None:
    members.memory_quota = _number(given)


def _namespace(_: Members, given: _Given) -> None:
    text = _string(given)
    if text not in {"", "default"}:
        raise QueryError(12001, f"Namespace not found in CB datastore: {text}")


def _context(members: Members, given: _Given) -> None:
    text = _string(given).strip()
    match = _CONTEXT.fullmatch(text)
    if match is None:
        cause = f"invalid query context: {text}"
        raise QueryError(1040, f"Error processing query_context - cause: {cause}")
    members.bucket = (match["bucket"] or "").strip("`")
    members.scope = (match["scope"] or "").strip("`")
    if members.bucket and not members.scope:
        members.scope = "_default"


def _transaction(_: Members, given: _Given) -> None:
    if given.value:
        text = f"Transaction context error: transaction ({given.value}) is not present"
        raise QueryError(17004, text)


def _implicit_transaction(_: Members, given: _Given) -> None:
    if _tristate(given):
        raise unsupported("a transaction")


def _vector(members: Members, given: _Given) -> None:
    value = given.value
    if given.in_form:
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict | list):
        raise _wrong_type(given, "object")
    members.given[given.name] = value


_SETTERS: Final[dict[str, _Setter]] = {
    "statement": _statement,
    "prepared": _prepared,
    "args": _args,
    "client_context_id": _context_id,
    "timeout": _timeout,
    "readonly": _readonly,
    "metrics": _flag("metrics"),
    "signature": _flag("signature"),
    "pretty": _flag("pretty"),
    "controls": _flag("controls"),
    "auto_execute": _flag("auto_execute"),
    "preserve_expiry": _flag("preserve_expiry"),
    "sort_projection": _flag("sort_projection"),
    "profile": _profile,
    "scan_consistency": _consistency,
    "scan_vector": _vector,
    "scan_vectors": _vector,
    "scan_wait": _ignored_duration,
    "kvtimeout": _ignored_duration,
    "txtimeout": _ignored_duration,
    "durability_timeout": _ignored_duration,
    "durability_level": _durability,
    "max_parallelism": _ignored_number,
    "scan_cap": _ignored_number,
    "pipeline_cap": _ignored_number,
    "pipeline_batch": _ignored_number,
    "error_limit": _ignored_number,
    "max_index_api": _ignored_number,
    "numatrs": _ignored_number,
    "txstmtnum": _ignored_number,
    "n1ql_feat_ctrl": _ignored,
    "memory_quota": _memory_quota,
    "query_context": _context,
    "namespace": _namespace,
    "creds": _creds,
    "encoded_plan": _plan,
    "auto_prepare": _ignored_flag,
    "use_fts": _ignored_flag,
    "use_cbo": _ignored_flag,
    "use_replica": _ignored_text,
    "txid": _transaction,
    "txdata": _ignored,
    "tximplicit": _implicit_transaction,
    "atrcollection": _ignored_text,
    "format": _format,
    "encoding": _encoding,
    "compression": _compression,
    "duration_style": _ignored_text,
    "loglevel": _ignored_text,
}


# --- what members say together ------------------------------------------------------------------


def _check_together(members: Members) -> None:
    if members.statement is not None and members.prepared is not None:
        raise QueryError(1060, "Multiple values for statement and prepared.")
    if members.statement is None and not members.prepared:
        raise QueryError(1050, "No statement or prepared value")
    if members.consistency == "at_plus":
        _check_vectors(members.given)


def _check_vectors(given: dict[str, Any]) -> None:
    """Raise QueryError unless there is a vector, and it is one."""
    vectors = []
    if "scan_vector" in given:
        vectors.append(given["scan_vector"])
    elif isinstance(given.get("scan_vectors"), dict):
        vectors += given["scan_vectors"].values()
    else:
        raise QueryError(1050, "No scan_vector value")
    for vector in vectors:
        pairs = vector.values() if isinstance(vector, dict) else vector
        for pair in pairs if isinstance(pairs, Iterable) else ():
            _check_pair(pair)


def _check_pair(pair: Any) -> None:
    if not isinstance(pair, list) or len(pair) != 2:
        text = f"Array {json.dumps(pair)} should be of length 2"
        raise QueryError(1140, text)
    number, uuid = pair
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 64:
        text = f"Bad sequence number {json.dumps(number)}. Expected an unsigned 64-bit integer."
        raise QueryError(1150, text)
    if not isinstance(uuid, str):
        raise QueryError(1155, f"Bad UUID {json.dumps(uuid)}. Expected a string.")


def seconds(text: str) -> float:
    """Return a duration (`1m30s`, `5`, `00:00:05`) in seconds. Raises QueryError."""
    if not text:
        return 0.0
    if _SECONDS.fullmatch(text):
        return float(text)
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        return int(clock[1]) * 3600.0 + int(clock[2]) * 60.0 + int(clock[3])
    if not _DURATION.fullmatch(text):
        cause = f"Unable to parse duration: {text}"
        raise QueryError(1040, f"Error processing duration - cause: {cause}")
    total = sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))
    return -total if text.startswith("-") else total
