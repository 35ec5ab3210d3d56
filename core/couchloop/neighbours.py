"""Packages beside ours: those that take our names, and those that we need and are not there.

The official SDK's wheel has a `txcouchbase`, too. Two distributions that write files of one name
into one environment overwrite each other: which of them works depends on which was installed last,
and taking one away breaks the other.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

__all__ = ["clash", "need"]

_OURS = "over the sans-I/O core `couchloop`"
"""What the text of our packages says of them."""
_NAMES = ("txcouchbase", "gcouchbase")
_CURE = (
    "use an environment for each, or: pip uninstall couchbase, then pip install --force-reinstall "
    "couchloop"
)


def clash() -> str:
    """Return what is wrong with the packages that are installed beside ours, and the cure.

    It is empty where nothing is. Nothing is imported.
    """
    for name in _NAMES:
        spec = _spec(name)
        if spec is not None and not _is_ours(name, spec):
            return (
                f"the package {name} at {spec.origin} is another's than couchloop's (the official "
                f"SDK, the distribution couchbase, has one of that name): {_CURE}"
            )
    if _spec("couchbase") is not None:
        return (
            "the distribution couchbase is installed in this environment, too; its package "
            f"txcouchbase and couchloop's overwrite each other: {_CURE}"
        )
    return ""


def need(name: str, user: str, extra: str) -> None:
    """Raise ModuleNotFoundError, with the cure, if there is no package *name*.

    Args:
        name: of the package, as it is imported.
        user: what needs it.
        extra: of couchloop's, that brings it.
    """
    if _spec(name) is None:
        text = f"{user} needs the package {name}: pip install 'couchloop[{extra}]'"
        raise ModuleNotFoundError(text, name=name)


def _spec(name: str) -> Any:
    try:
        return find_spec(name)
    except (ImportError, ValueError):
        # What a program has put under that name, perhaps.
        return None


def _is_ours(name: str, spec: Any) -> bool:
    try:
        source = spec.loader.get_source(name)
    except (AttributeError, ImportError, OSError, SyntaxError, ValueError):
        # Compiled, frozen, or in a place that shows no source: nobody knows.
        return True
    return source is None or _OURS in source
