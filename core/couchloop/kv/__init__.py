"""One connection to one data node: its handshake, its authentication and its frames."""
