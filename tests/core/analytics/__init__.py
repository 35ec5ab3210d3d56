"""Queries of the analytics service."""
