"""What a cluster's manager, and other services, are asked by HTTP: builders of procedures."""

__all__: list[str] = []
