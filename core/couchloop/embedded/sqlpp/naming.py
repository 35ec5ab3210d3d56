"""What something is called that was given no name."""

from __future__ import annotations

from couchloop.embedded.sqlpp.syntax import ComputedField, Field, Name, Node, Place


def implicit_name(expression: Node) -> str | None:
    """Return the name of an item of a projection: the last of a path; None: it has none."""
    if isinstance(expression, Name | Field):
        return expression.name
    return None


def start(node: Node) -> Place:
    """Return where an expression begins: a path's own place is that of its last name."""
    while isinstance(node, Field | ComputedField):
        node = node.base
    return node.place
