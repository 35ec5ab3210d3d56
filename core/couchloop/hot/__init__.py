"""The hot path: what each operation passes through, and nothing else. It knows no node."""
