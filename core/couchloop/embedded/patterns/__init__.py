"""Regular expressions: one engine, which queries and searches have in common."""
