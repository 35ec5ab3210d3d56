"""Queries in SQL++."""
