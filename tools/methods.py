"""Write the methods of Buckets and of their handles for threads, from the builders in the core.

python tools/methods.py           write the files
python tools/methods.py --check   fail if one is not what would be written

A builder is a public function (or a `Multi`) of the modules below whose first parameter is
`defaults: Defaults`. Each becomes a method of the same name, with the builder's other parameters,
the type that its `result()` gives, and its docstring, to which is added what its arguments mean
where it does not say that itself. `FAMILIES` says which builders make which class, `TARGETS` what
a method does on each loop.
"""

from __future__ import annotations

import argparse
import ast
import collections.abc
import inspect
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from couchloop.hot.result import ReplicasResult
from couchloop.hot.result import V as OF_TYPE
from couchloop.operations.multi import Multi
from couchloop.operations.old_names import OLD_NAMES, OldName
from couchloop.operations.rows import RowStream
from couchloop.operations.stream import Stream, T
from couchloop.operations.streaming import Streaming
from couchloop.result import MultiResult, ValueResult

ROOT: Final = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # Run as a file: Python looks for modules in this folder alone.
    sys.path.insert(0, str(ROOT))

from tools.docstrings import docstring_of  # noqa: E402 - see above
from tools.method_families import (  # noqa: E402 - likewise
    FAMILIES,
    STRATEGY,
    Builder,
    Family,
    asks_services_alone,
    parameters_of,
)
from tools.method_files import TARGETS, Target  # noqa: E402 - likewise

__all__ = ["FAMILIES", "TARGETS", "Builder", "Family", "Target"]


def result_type(build: Builder) -> Any:
    """Return the type of what `result()` gives of what *build* builds.

    Raises TypeError if that has no such method.
    """
    if isinstance(build, Multi):
        return MultiResult[result_type(build.single)]  # type: ignore[misc]
    if isinstance(build, Streaming):
        return result_type(build.single)
    built = get_type_hints(build)["return"]
    kind = get_origin(built) or built
    values = _arguments_of(built)
    if issubclass(kind, Stream):
        return values[T]
    for base in kind.__mro__:
        if "result" in vars(base):
            found = get_type_hints(vars(base)["result"])["return"]
            return _filled(found, values)
    raise TypeError(f"{build.__name__}() gives a {kind.__name__}, which has no result()")


def gives_stream(build: Builder) -> bool:
    """Whether *build* gives a stream, and nothing that is waited for."""
    if isinstance(build, Multi | Streaming):
        return isinstance(build, Streaming)
    built = get_type_hints(build)["return"]
    return issubclass(get_origin(built) or built, Stream)


def request_of(build: Builder) -> str:
    """Return the class that the rows' consumer has, if *build* gives rows of a service."""
    if isinstance(build, Multi | Streaming):
        return ""
    built = get_type_hints(build)["return"]
    kind = get_origin(built) or built
    return kind.request if issubclass(kind, RowStream) else ""


def typed_row_of(build: Builder) -> type | None:
    """Return the type of rows of which a part is of the user's; None: the rows are, or none is."""
    if isinstance(build, Multi | Streaming):
        return None
    built = get_type_hints(build)["return"]
    kind = get_origin(built) or built
    return kind.typed_row if issubclass(kind, RowStream) else None


def _arguments_of(kind: Any) -> dict[Any, Any]:
    """Return what stands for each type variable in *kind* and its bases."""
    origin = get_origin(kind) or kind
    bases = getattr(origin, "__orig_bases__", origin.__bases__)
    # A class may leave it to type checkers that it is generic.
    parameters = getattr(origin, "__parameters__", None) or [
        each for base in bases for each in get_args(base) if isinstance(each, TypeVar)
    ]
    values = dict(zip(parameters, get_args(kind), strict=False))
    for base in bases:
        for variable, value in _arguments_of(base).items():
            values.setdefault(variable, values.get(value, value))
    return values


def _filled(kind: Any, values: dict[Any, Any]) -> Any:
    if isinstance(kind, TypeVar):
        return values[kind]
    arguments = getattr(kind, "__parameters__", ())
    return kind[tuple(values[each] for each in arguments)] if arguments else kind


_STARS: Final[dict[object, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class Module:
    """A file that is being written: its text, and what it imports."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.imports: set[tuple[str, str]] = set()
        """Names of annotations: for type checkers alone."""
        self.used: set[tuple[str, str]] = set()
        """Names that are used when the file is read, or a method runs."""
        self.builders: set[tuple[str, str]] = set()
        """Modules with builders, which are imported once a method needs them: `couchloop.later`."""

    def text(self) -> str:
        """Return it, formatted."""
        target = self.target
        families = [each for each in FAMILIES if each.is_management is target.is_management]
        classes = [self._class(family) for family in families]
        if not target.is_management:
            classes.insert(1, self._old_names(families[0]))
        builders = sorted(self.builders)
        later = [f'    {name} = Module("{module}.{name}", globals())' for module, name in builders]
        told = sorted((self.imports - self.used) | self.builders)
        paths = dict.fromkeys(path for family in families for path in _paths(family))
        sources = "\n".join(f"- {path}" for path in paths)
        head = (
            f'"""{target.subject}.\n\n'
            "Made by `make methods` (tools/methods.py) from these builders: change them.\n\n"
            f"{sources}\n\n"
            f'{target.about}\n"""\n'
            + (f"# ruff: noqa: {', '.join(target.ignored)}\n" if target.ignored else "")
        )
        return _formatted(
            "\n".join(
                [
                    head,
                    "from __future__ import annotations",
                    "from typing import TYPE_CHECKING",
                    "from couchloop.later import Module",
                    target.imports,
                    *(f"from {module} import {name}" for module, name in sorted(self.used)),
                    "if TYPE_CHECKING:",
                    *(f"    from {module} import {name}" for module, name in told),
                    "else:",
                    *later,
                    *classes,
                ]
            ),
            target.path,
        )

    def _class(self, family: Family) -> str:
        methods = [self._method(name, build) for name, build in family.builders()]
        head = f'"""{family.meaning}."""\n\n__slots__ = ()\n'
        attributes = self.target.attributes
        if any(request_of(build) for _, build in family.builders()) and "self._ask" in (
            self.target.rows_body
        ):
            self.imports.add(("couchloop.client.services", "ClusterServices"))
            attributes += _ASKS
        body = "\n".join([head, attributes, *methods])
        if family.of_bucket:
            plain, narrowed, module = self.target.of_bucket
            body = body.replace(plain, narrowed, 1)
            self.imports.add((module, narrowed.rpartition(" ")[2]))
        if family.asks_services:
            # In threads the defaults are the target's.
            body = re.sub(rf"(?<!\btarget\.)\b_({self.target.own})\b", r"_services_\1", body)
        return f"class {family.name}:\n{textwrap.indent(body, '    ')}"

    def _old_names(self, family: Family) -> str:
        """Return the class of names that SDK 2.5 has beside those of the first family."""
        builders = dict(family.builders())
        known = [old for old in OLD_NAMES if old.of in builders]
        if not known:
            return ""
        self.used.add(("warnings", "warn"))
        parts = ['"""The same by the other names that SDK 2.5 has for it."""\n\n__slots__ = ()\n']
        parts += [self._old_method(old, builders[old.of]) for old in known]
        if self.target.camel_case:
            multi = [name for name in builders if name.endswith("_multi")]
            alias = "{} = " + family.name + ".{}"
            parts += [alias.format(_camel_case(name), name) for name in multi]
            parts += [f"{_camel_case(old.name)} = {old.name}" for old in known if "_" in old.name]
        body = textwrap.indent("\n".join(parts), "    ")
        return f"class OldNames({family.name}):\n{body}"

    def _old_method(self, old: OldName, build: Builder) -> str:
        """Return a method that warns, and calls the one that is meant."""
        declared, given = ["self"], []
        is_named = False
        for each in [*inspect.signature(build).parameters.values()][1:]:
            if each.kind is each.KEYWORD_ONLY and not is_named:
                is_named = True
                declared.append("*")
            name = each.name if each.name != old.renamed[0] else old.renamed[1]
            value = name if name == each.name else f"{old.sign}{name}"
            default = "" if each.default is each.empty else f" = {self._value(each.default)}"
            declared.append(f"{name}: {each.annotation}{default}")
            given.append(f"{each.name}={value}" if is_named or name != each.name else value)
        if old.renamed[1]:
            # SDK 2.5 has it behind the key, and the others by name alone.
            renamed = next(each for each in declared if each.startswith(old.renamed[1]))
            declared.remove(renamed)
            declared.remove("*")
            declared[2:2] = [renamed, "*"]
            given = [
                f"{each}={each}" if each.isidentifier() and n else each
                for n, each in enumerate(given)
            ]
        returns = self.target.returns.format(self._type(result_type(build)))
        text = f"{old.name}() is called {old.of}() now"
        return (
            f"def {old.name}({', '.join(declared)}) -> {returns}:\n"
            f'    """Do what `{old.of}` does: a name of SDK 2.5, which warns."""\n'
            "    try:\n"
            f'        warn("{text}", DeprecationWarning, stacklevel=2)\n'
            f"        return self.{old.of}({', '.join(given)})\n"
            "    finally:\n"
            "        del self\n"
        )

    def _method(self, name: str, build: Builder) -> str:
        target = self.target
        of_builder, _, short = build.__module__.rpartition(".")
        is_stream = gives_stream(build)
        body = target.stream_body if is_stream else target.body
        stream_returns = target.stream_returns
        request = request_of(build)
        if request:
            self.imports.add((target.rows, request))
            package, _, rows = target.rows.rpartition(".")
            self.builders.add((package, rows))
            body = target.rows_body.replace("{request}", f"{rows}.{request}")
            stream_returns = f"{request}[{{}}]"
        elif is_stream:
            self.imports.add((target.stream, "ResultStream"))
            package, _, streams = target.stream.rpartition(".")
            self.builders.add((package, streams))
            body = body.replace("{stream}", streams)
        if "{call}" in body:
            self.builders.add((of_builder, short))
        parameters = parameters_of(build)
        declared, given = ["self"], [target.defaults]
        if asks_services_alone(build):
            # The builder needs not say it: what it builds asks as its defaults say.
            given = [f"asking_by({target.defaults}, {STRATEGY.name})"]
            self.used.add(("couchloop.operations.arguments", "asking_by"))
        is_named = False
        for each in parameters:
            if each.kind is each.KEYWORD_ONLY and not is_named:
                declared.append("*")
            is_named = is_named or each.kind in {each.KEYWORD_ONLY, each.VAR_POSITIONAL}
            star = _STARS.get(each.kind, "")
            self._import_names(each.annotation, build)
            default = "" if each.default is each.empty else f" = {self._value(each.default)}"
            declared.append(f"{star}{each.name}: {each.annotation}{default}")
            if each is STRATEGY:
                self.imports.add(("couchloop.retries", "RetryStrategy"))
                continue
            names_it = each.kind is each.KEYWORD_ONLY
            given.append(f"{each.name}={each.name}" if names_it else f"{star}{each.name}")
        returns = stream_returns if is_stream else target.returns
        overloads = ""
        if "{}" in returns:
            if "type" in (each.name for each in parameters):
                overloads = self._overloads(name, declared, returns, build)
            # What fits each of the forms.
            kind = Any if overloads and typed_row_of(build) else result_type(build)
            returns = returns.format(self._type(kind))
        docstring = docstring_of(build)
        call = f"{short}.{name}({', '.join(given)})"
        if isinstance(build, Multi):
            given_first, given_keys, *_ = given
            shared = ", ".join(build.shared)
            call = f"{short}.{name}.build({given_first}, {given_keys}, ({shared}))"
        names: tuple[str, ...] = getattr(build, "rare", ())
        rare = [each for each in parameters if each.name in names]
        if rare:
            usual = f"{short}.{name}({', '.join(_without(given, names))})"
            shortcut = getattr(build, "usual", None)
            if shortcut is not None:
                taken = inspect.signature(shortcut).parameters
                values = [target.defaults if one == "defaults" else one for one in taken]
                usual = f"{short}.{shortcut.__name__}({', '.join(values)})"
            body = _forked(body, rare, usual)
        body = body.format(call=call, name=name)
        end = "\n" if "\n" in docstring else ""
        head = f"{overloads}def {name}({', '.join(declared)}) -> {returns}:\n"
        return head + textwrap.indent(f'"""{docstring}{end}"""\n{body}', "    ")

    def _overloads(self, name: str, declared: Sequence[str], returns: str, build: Builder) -> str:
        """Give the forms of a method that reads: with a type its result has values of that."""
        self.used.add(("typing", "overload"))
        self.imports.add((OF_TYPE.__module__, OF_TYPE.__name__))
        kind, row = result_type(build), typed_row_of(build)
        typed = [self._narrowed(each) for each in declared]
        forms = [typed, declared]
        given = [self._type(kind, OF_TYPE.__name__), self._type(kind)]
        if row is not None:
            self.imports.add((row.__module__, row.__name__))
            given[0] = f"{row.__name__}[{OF_TYPE.__name__}]"
            if kind is not Any:
                # What comes of a function, or of a type that is no class, is anything.
                forms[1:] = [[self._narrowed(each, "None = None") for each in declared], declared]
                given.append("Any")
        return "".join(
            f"@overload\ndef {name}({', '.join(form)}) -> {returns.format(each)}: ...\n"
            for form, each in zip(forms, given, strict=True)
        )

    def _narrowed(self, declared: str, kind: str = f"type[{OF_TYPE.__name__}]") -> str:
        """Return a parameter as it is where its method gives values of a type, or of none."""
        name, _, _ = declared.partition(":")
        if name == "type":
            return f"type: {kind}"
        if name in {"row_factory", "row_processor"}:
            # What these make is of whatever type.
            return f"{name}: None = None"
        if "QueryBase" in declared:
            # Rows of the others are not those of views.
            self.imports.add(("couchloop.views.params", "ViewQuery"))
            return declared.replace("QueryBase", "ViewQuery")
        return declared

    def _import_names(self, annotation: str, build: Builder) -> None:
        """Import what *annotation* names, from where *build* has it, or where batches are made."""
        modules = [Multi.__module__, Streaming.__module__, build.__module__]
        if isinstance(build, Streaming):
            modules.append(build.single.__module__)
        origins = {name: where for each in modules for name, where in _origins(each).items()}
        for node in ast.walk(ast.parse(annotation)):
            if isinstance(node, ast.Name) and node.id in origins:
                self.imports.add((origins[node.id], node.id))

    def _value(self, value: object) -> str:
        if isinstance(value, Enum):
            self.used.add((type(value).__module__, type(value).__name__))
            return str(value)
        return repr(value)

    def _type(self, kind: Any, of: str = "") -> str:
        """Return the source of a type; *of*: the type of the values that its results have."""
        if kind is None or kind is NoneType:
            return "None"
        if kind is Any and of:
            return of
        arguments: tuple[Any, ...] = get_args(kind)
        origin = get_origin(kind) or kind
        if origin in {Union, UnionType}:
            return " | ".join(self._type(each, of) for each in arguments)
        if origin.__module__ != "builtins":
            self.imports.add((origin.__module__, origin.__name__))
        name: str = origin.__name__
        inner = [self._type(each, of) for each in arguments]
        if of and isinstance(kind, type) and issubclass(kind, ValueResult | ReplicasResult):
            inner = [of]
        return f"{name}[{', '.join(inner)}]" if inner else name


_ASKS: Final = """\
if TYPE_CHECKING:
    def _ask_services(self) -> ClusterServices: ...

"""
"""What a class must have whose methods give rows of services."""


def _camel_case(name: str) -> str:
    """Return `get_multi` as `getMulti`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _without(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the arguments of a call without some; what comes behind one of these is named."""
    kept: list[str] = []
    is_named = False
    for text in given:
        if text.partition("=")[0] in names:
            is_named = True
        else:
            kept.append(f"{text}={text}" if is_named and text.isidentifier() else text)
    return kept


def _forked(body: str, rare: Sequence[inspect.Parameter], usual: str) -> str:
    """Return *body* with another call where none of the arguments is given that are rare.

    To hand over an argument costs as much as to look at it several times.
    """
    unset = " and ".join(
        f"{each.name} is None" if each.default is None else f"not {each.name}" for each in rare
    )
    found = re.search(r"^( *)pending = \{call\}$", body, re.MULTILINE)
    assert found is not None, "no call is found in the body"
    indent = found[1]
    usual = usual.replace("{", "{{").replace("}", "}}")
    fork = (
        f"{indent}if {unset}:\n{indent}    pending = {usual}\n"
        f"{indent}else:\n{indent}    pending = {{call}}"
    )
    return body[: found.start()] + fork + body[found.end() :]


def _paths(family: Family) -> Iterator[str]:
    for module in family.modules:
        yield Path(str(module.__file__)).resolve().relative_to(ROOT).as_posix()


@cache
def _origins(module: str) -> dict[str, str]:
    """Return in which module each name at the top of *module* is defined or found."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    origins = dict.fromkeys(collections.abc.__all__, "collections.abc")
    origins.update(dict.fromkeys(vars(sys.modules[module]), module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            origins.update({alias.asname or alias.name: node.module for alias in node.names})
    return origins


def _formatted(text: str, path: str) -> str:
    """Put imports in order, and lay *text* out as the project's style has it."""
    for command in (
        ("check", "--select=I", "--fix-only", "--quiet"),
        ("format", "--quiet"),
    ):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, f"--stdin-filename={path}", "-"],
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is stale")
    is_check = parser.parse_args(arguments).check
    stale = []
    for target in TARGETS:
        text = Module(target).text()
        if target.file.exists() and target.file.read_text(encoding="utf-8") == text:
            continue
        stale.append(target.path)
        if not is_check:
            target.file.write_text(text, encoding="utf-8")
    if is_check and stale:
        print(f"stale: {', '.join(stale)}; run make methods", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
