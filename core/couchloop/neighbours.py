"""Packages beside ours: those that take our names, and those that we need and are not there.

The official SDK's wheel has a `txcouchbase`, too. Two distributions that write files of one name
into one environment overwrite each other: which of them works depends on which was installed last,
and taking one away breaks the other.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

__all__ = ["clash", "find_clash", "missing_loop", "need", "pip_line"]

_OURS = "over the sans-I/O core `couchloop`"
"""What the text of our packages says of them."""
_NAMES = ("txcouchbase", "gcouchbase")
_APART = (
    "use an environment for each, or: pip uninstall couchbase, then pip install --force-reinstall "
    "couchloop"
)
_AGAIN = "pip install --force-reinstall couchloop"


def clash() -> str:
    """Return what is wrong with the packages that are installed beside ours, and the cure.

    It is empty where nothing is. Nothing of them is imported.
    """
    cause, cure = find_clash()
    return f"{cause}: {cure}" if cause else ""


def find_clash(names: tuple[str, ...] = _NAMES) -> tuple[str, str]:
    """Return the same in two: what is wrong, and the cure; both empty where nothing is.

    Args:
        names: those of our packages that are looked at; for one alone it only counts whether it is
            ours.
    """
    for name in names:
        spec = _spec(name)
        if spec is None:
            continue
        if spec.origin is None and spec.submodule_search_locations:
            # A folder without `__init__.py`: who uninstalled another package took it along.
            return f"the package {name} has lost files, perhaps to an uninstalled SDK", _AGAIN
        if _is_ours(name, spec):
            continue
        sdk = _official() or "couchbase"
        cause = (
            f"the package {name} at {spec.origin} is another's than couchloop's (the official SDK, "
            f"the distribution {sdk}, has one of that name)"
        )
        return cause, _APART
    if len(names) > 1 and (sdk := _official()):
        cause = (
            f"the distribution {sdk} is installed in this environment, too; its package "
            "txcouchbase and couchloop's overwrite each other"
        )
        return cause, _APART
    return "", ""


def _official() -> str:
    """Return the name and version of the official SDK's distribution; empty: there is none.

    A package `couchbase` without a distribution of that name is a program's own, and harmless.
    """
    spec = _spec("couchbase")
    if spec is None or spec.origin is None:
        return ""
    # It costs more than all the rest here, and most programs need it not.
    from importlib.metadata import version  # noqa: PLC0415

    try:
        return f"couchbase {version('couchbase')}"
    except (ImportError, KeyError, OSError, TypeError, ValueError):
        return ""


def need(name: str, user: str, extra: str) -> None:
    """Raise ModuleNotFoundError, with the cure, if there is no package *name*.

    Args:
        name: of the package, as it is imported.
        user: what needs it.
        extra: of couchloop's, that brings it.
    """
    if _spec(name) is None:
        text = f"{user} needs the package {name}: {pip_line(extra)}"
        raise ModuleNotFoundError(text, name=name)


def pip_line(extra: str, *others: str) -> str:
    """Return the command that installs an extra of couchloop's, and *others*."""
    return " ".join((f"pip install 'couchloop[{extra}]'", *others))


def missing_loop(name: str | None) -> str:
    """Return what to do where the loop *name*, or any (None), is not installed."""
    if name is not None:
        return pip_line(name)
    return f"{pip_line('twisted')}, or {pip_line('gevent')}"


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
