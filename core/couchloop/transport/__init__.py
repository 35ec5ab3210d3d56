"""What both adapters need of a connection, apart from I/O."""
