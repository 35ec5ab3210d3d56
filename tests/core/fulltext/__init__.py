"""What can be searched for, and how searches are answered."""
