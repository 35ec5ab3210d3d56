"""The search for a first configuration: seeds, SRV names, web ports, a file."""
