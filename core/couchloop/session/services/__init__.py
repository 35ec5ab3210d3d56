"""HTTP services of a cluster: which node is asked, on which connection, and what is repeated."""
