"""What can be asked of documents: one builder per operation."""
