"""What an operation costs: `make bench`. See docs/performance.md."""
