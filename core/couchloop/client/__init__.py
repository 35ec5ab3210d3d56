"""What both adapters have in common: drivers, Buckets, Clusters, the registry."""
