"""Map and reduce functions in JavaScript, where the extra `couchloop[views]` (quickjs-ng) is.

Each function has an engine of its own, which has no I/O, takes so much memory and time and no more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from couchloop.embedded.views.protocols import (
    Emitted,
    MapFunction,
    NoJavaScriptError,
    ReduceFunction,
    Source,
    ViewFailedError,
)

try:
    import quickjs
except ImportError:  # the extra is not installed
    HAS_JAVASCRIPT = False
else:
    HAS_JAVASCRIPT = True

_MEMORY: Final = 64 << 20
"""Bytes that one function may take."""
_TIME: Final = 1.0
"""Seconds of CPU that one call of an engine may take: a batch of documents, or a reduction."""
_BATCH: Final = 100
"""Documents that are mapped in one call."""

_HARNESS: Final = """
(function (global) {
    "use strict";
    var stringify = JSON.stringify, parse = JSON.parse, text = String, emitted = [];
    function written(value) {
        var json = stringify(value);
        return json === undefined ? "null" : json;
    }
    function failure(error) {
        try {
            return written(text(error));
        } catch (_) {
            return written("the function has failed");
        }
    }
    global.emit = function (key, value) {
        emitted.push("[" + written(key) + "," + written(value) + "]");
    };
    global.log = function () {};
    global.sum = function (values) {
        var total = 0;
        for (var index = 0; index < values.length; index += 1) {
            total += values[index];
        }
        return total;
    };
    global.dateToArray = function (date) {
        var when = date.getUTCDate ? date : new Date(date);
        if (!isFinite(when.valueOf())) {
            return null;
        }
        return [
            when.getUTCFullYear(), when.getUTCMonth() + 1, when.getUTCDate(),
            when.getUTCHours(), when.getUTCMinutes(), when.getUTCSeconds()
        ];
    };
    global.decodeBase64 = function (given) {
        var letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        if (typeof given !== "string" || given.length % 4) {
            throw "Invalid base64 source.";
        }
        var bare = given.replace(/=+$/, ""), bits = 0, held = 0, bytes = [];
        for (var index = 0; index < bare.length; index += 1) {
            held = ((held << 6) | letters.indexOf(bare[index])) & 0xffff;
            bits += 6;
            if (bits >= 8) {
                bits -= 8;
                bytes.push((held >> bits) & 0xff);
            }
        }
        return bytes;
    };
    return {
        map: function (call, documents) {
            return "[" + parse(documents).map(function (each) {
                emitted = [];
                try {
                    call(parse(each[0]), parse(each[1]));
                    return "[" + emitted.join(",") + "]";
                } catch (error) {
                    return failure(error);
                }
            }).join(",") + "]";
        },
        reduce: function (call, given) {
            var parts = parse(given);
            return written(call(parts[0], parts[1], parts[2]));
        }
    };
})(globalThis)
"""


def compile_map(text: str) -> MapFunction:
    """Return the map function of a source. Raises ViewFailedError if it is none."""
    return _Map(_Engine(text))


def compile_reduce(text: str) -> ReduceFunction:
    """Likewise a reduce function."""
    return _Reduce(_Engine(text))


class _Engine:
    """One function in an engine of its own.

    Args:
        source: of it.
    """

    def __init__(self, source: str) -> None:
        if not HAS_JAVASCRIPT:
            raise NoJavaScriptError(
                "JavaScript needs the package quickjs-ng: pip install 'couchloop[views]'"
            )
        context = quickjs.Context()
        context.set_memory_limit(_MEMORY)
        context.set_time_limit(_TIME)
        self._context = context
        self._harness = context.eval(_HARNESS)
        self._name = context.eval("(function (harness, name) { return harness[name]; })")
        try:
            function = context.eval(f"({source}\n)")
        except Exception as error:  # noqa: BLE001 - an engine's, of a user's source
            raise ViewFailedError(_first_line(error)) from None
        if not self._is_function(function):
            raise ViewFailedError(f"Invalid function: ({source})")
        self._function = function

    def call(self, name: str, given: str) -> str:
        """Have the harness call the function. Raises ViewFailedError."""
        try:
            said = self._name(self._harness, name)(self._function, given)
        except Exception as error:  # noqa: BLE001 - an engine's, of a user's code
            raise ViewFailedError(_first_line(error)) from None
        return str(said)

    def _is_function(self, value: object) -> bool:
        check = self._context.eval("(function (value) { return typeof value === 'function'; })")
        return bool(check(value))


class _Map:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    def __call__(self, sources: Sequence[Source]) -> list[Emitted | str]:
        emitted: list[Emitted | str] = []
        for start in range(0, len(sources), _BATCH):
            some = sources[start : start + _BATCH]
            given = json.dumps([(each.text, json.dumps(each.meta)) for each in some])
            found = _decoded(self._engine.call("map", given))
            if not isinstance(found, list) or len(found) != len(some):
                raise ViewFailedError("the map function has changed what it is called with")
            emitted += found
        return emitted


class _Reduce:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    def __call__(self, keys: list[Any] | None, values: list[Any], rereduce: bool, /) -> Any:
        return _decoded(self._engine.call("reduce", json.dumps([keys, values, rereduce])))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ViewFailedError("the function gave something that is no JSON") from None


def _first_line(error: Exception) -> str:
    """Return what an engine says without where it says it."""
    line = str(error).partition("\n")[0]
    if line.endswith("interrupted"):
        return f"the function has taken more than {_TIME:g} s"
    return "the function has taken too much memory" if line in {"", "null"} else line
