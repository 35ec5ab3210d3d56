"""What the methods of a Bucket, or of a handle for threads, must have of their builders."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tools.methods import FAMILIES, result_type


def check_methods(kind: type, returns: Callable[[Any], Any]) -> None:
    """See that *kind* has a method for each builder, and that it tells the truth about itself.

    Args:
        kind: the class.
        returns: gives the type that a method returns for the type that its builder's result has.
    """
    for family in FAMILIES:
        for name, build in family.builders():
            method = getattr(kind, name)
            assert method.__code__.co_name == name
            assert inspect.getsource(method).lstrip().startswith(f"def {name}(")
            assert str(method.__doc__).split() == str(build.__doc__).split()
            signature = inspect.signature(method, eval_str=True)
            own, *parameters = signature.parameters.values()
            _, *wanted = inspect.signature(build, eval_str=True).parameters.values()
            assert (own.name, parameters) == ("self", wanted)
            result = result_type(build)
            assert signature.return_annotation == returns(None if result is type(None) else result)
