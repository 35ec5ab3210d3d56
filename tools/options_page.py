"""Write docs/options.md, the reference of all options, from the table in the code.

python tools/options_page.py           write it
python tools/options_page.py --check   fail if it is not what would be written
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from couchloop.settings.options import OPTIONS, Option

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "options.md"

_HEAD: Final = """\
# Options

<!-- Made by tools/options_page.py from core/couchloop/settings/options.py: change it there. -->

Options stand behind the `?` of a connection string, `couchbase://host/bucket?name=value&name=value`,
names and values percent-encoded. The environment variable `LCB_OPTIONS` can hold them too
([`connecting.md`](connecting.md#environment)). An unknown name, or a value that is not legal, is an
`InvalidOptionError`, which suggests the nearest name or says what would be legal.

Names and units are those of SDK 2.5: a bare number of a time is seconds. Names that only SDK 4.x
knows work too; a bare number of a time is milliseconds under them, as it is there. So
`resolve_timeout=1` is a millisecond: the log warns where less than 100 are given. Under either a
time may have a unit: `2.5s`, `2500ms`, `1m30s`. Truth values are `true`, `on`, `yes`, `1`, `false`,
`off`, `no`, `0`. Where SDK 2.5's documentation and code spell something differently, both spellings
work.

## Options that are heeded

| option | other names | value | default | meaning |
| --- | --- | --- | --- | --- |
"""

_WITHOUT: Final = """
## Options without effect

They are accepted, for programs that have them; the client says once in the log that they have no
effect. A value that is not legal is an error all the same.

| option | other names | value | meaning | why it has no effect |
| --- | --- | --- | --- | --- |
"""

_VALUES: Final = {
    "bool": "true or false",
    "int": "integer",
    "float": "number",
    "seconds": "seconds",
    "text": "text",
    "path": "path of a file",
}


def value_of(option: Option) -> str:
    """Return what an option's value may be."""
    if option.name == "retry_policy":
        return "`mode:policy`; may be given several times"
    if option.kind == "choice":
        words = dict.fromkeys(option.choices.values())
        others = [f"`{word}` for `{is_}`" for word, is_ in option.choices.items() if word != is_]
        return ", ".join([*(f"`{word}`" for word in words), *others])
    if option.kind == "list":
        return f"of {', '.join(f'`{word}`' for word in option.choices.values())}, parted by commas"
    low, high = option.minimum, option.maximum
    limits = [f"from {low:g}"] if low is not None else []
    limits += [f"to {high:g}"] if high is not None else []
    return ", ".join([_VALUES[option.kind], " ".join(limits)]).rstrip(", ")


def default_of(option: Option) -> str:
    """Return what counts where an option is not given."""
    match option.default:
        case None:
            return ""
        case bool():
            return f"`{str(option.default).lower()}`"
        case float():
            return f"`{option.default:g}`"
        case _:
            return f"`{option.default}`"


def aliases_of(option: Option) -> Iterator[str]:
    """Return the other names, and what is different under them."""
    for name in option.names[1:]:
        note = ""
        if name in option.modern:
            note = " (milliseconds)" if option.kind == "seconds" else ""
        elif name in option.translated:
            words = dict(option.translated[name])
            if "true" in words:
                words = {word: words[word] for word in ("true", "false")}
            note = f" ({', '.join(f'{word}: {is_}' for word, is_ in words.items())})"
        yield f"`{name}`{note}"
    if option.name in option.modern and option.kind == "seconds":
        yield "a bare number is milliseconds"


def page() -> str:
    """Return the text of the page."""
    heeded, without = [], []
    for option in OPTIONS.values():
        aliases = "<br>".join(aliases_of(option))
        known = f"| `{option.name}` | {aliases} | {value_of(option)} |"
        if option.reason:
            without.append(f"{known} {option.meaning} | {option.reason} |\n")
        else:
            heeded.append(f"{known} {default_of(option)} | {_as_text(option.meaning)} |\n")
    return _HEAD + "".join(heeded) + _WITHOUT + "".join(without)


def _as_text(meaning: str) -> str:
    return meaning.replace("<", "&lt;").replace("|", "\\|")


def main() -> int:
    """Write the page, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is stale: run python tools/options_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
