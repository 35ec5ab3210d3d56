"""The query engine: SQL++ over the embedded documents; text and arguments in, rows out."""
