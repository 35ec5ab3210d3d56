"""What is left of a process after a great many Buckets: nothing (`python -m tests.soak`)."""
