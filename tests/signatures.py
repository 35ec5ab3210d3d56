"""What the methods of a Bucket, or of a handle for threads, must have of their builders."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tools.docstrings import docstring_of
from tools.method_families import parameters_of
from tools.methods import FAMILIES, gives_stream, result_type


@cache
def names_for_checkers(module: str) -> dict[str, Any]:
    """Return what a module imports for type checkers alone."""
    found: dict[str, Any] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                exec(ast.unparse(each), found)  # noqa: S102 - ours
    return found


def check_methods(
    kind: type,
    manager: type,
    returns: Callable[[Any], Any],
    cluster: type,
    managers: Mapping[str, type],
) -> None:
    """See that there is a method for each builder, and that it tells the truth about itself.

    Args:
        kind: the class of Buckets.
        manager: what `collections()` of one gives.
        cluster: the class of Clusters.
        managers: what has the methods of management, by the name of the family.
        returns: gives the type that a method returns for the type that its builder's result has.
    """
    for family in FAMILIES:
        of_clusters = ("HttpMethods", "QueryMethods", "AnalyticsMethods")
        owners = {"ManifestMethods": manager, **dict.fromkeys(of_clusters, cluster)}
        owner = owners.get(family.name, kind)
        if family.is_management:
            # Those of managers are made by the same builders, and are not on Buckets.
            owner = managers[family.name]
        for name, build in family.builders():
            method = getattr(owner, name)
            assert method.__code__.co_name == name
            assert inspect.getsource(method).lstrip().startswith(f"def {name}(")
            assert str(method.__doc__).split() == docstring_of(build).split()
            own, *parameters = inspect.signature(method).parameters.values()
            assert (own.name, parameters) == ("self", parameters_of(build))
            # What the annotations name is there, for type checkers.
            names = {**method.__globals__, **names_for_checkers(method.__module__)}
            signature = inspect.signature(method, globals=names, eval_str=True)
            if gives_stream(build):
                # What a stream is differs from loop to loop: `typing_api.py` says.
                continue
            result = result_type(build)
            assert signature.return_annotation == returns(None if result is type(None) else result)


def check_arguments(bucket: type, arguments: type, *others: str) -> None:
    """See that *arguments* are the keywords of a Bucket's constructor, but *others*, and no more.

    Args:
        bucket: the class.
        arguments: the TypedDict of what may be said of it.
        others: keywords that are none of these.
    """
    parameters = inspect.signature(bucket.__init__).parameters.values()  # type: ignore[misc]
    keywords = {each.name: each.annotation for each in parameters if each.kind is each.KEYWORD_ONLY}
    for name in others:
        del keywords[name]
    typed = {name: kind.__forward_arg__ for name, kind in arguments.__annotations__.items()}
    assert typed == keywords
