"""Views: rows that map functions make of a bucket's documents, ordered, reduced, cut to a range."""
