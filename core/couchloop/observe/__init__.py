"""Who is told of operations, and what becomes of it."""
