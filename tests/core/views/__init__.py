"""Views: what is asked of them, and how they are answered."""
