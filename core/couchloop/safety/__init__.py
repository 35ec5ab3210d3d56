"""What guards secrets, and text from outside."""
