"""Where documents are: cluster configurations, networks, routes."""
