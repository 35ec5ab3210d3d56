"""What users gave, as exact values: numbers, bytes, seconds."""
