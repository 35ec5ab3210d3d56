"""Items: documents as objects, which operations on many of them fill (SDK 2.5's module)."""

from couchloop.operations.items import Item, ItemCollection, ItemOptionDict, ItemSequence

__all__ = ["Item", "ItemCollection", "ItemOptionDict", "ItemSequence"]
