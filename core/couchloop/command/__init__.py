"""The command `couchloop`, also `python -m couchloop`: what it can do, and how."""
