"""Real sessions against the embedded cluster in virtual time, with everything from one seed."""
