"""What joins couchloop to other frameworks: a module for each, and nothing imports one of them."""

__all__: list[str] = []
