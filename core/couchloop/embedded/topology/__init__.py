"""The cluster as its clients come to know it: nodes, their connections, the cluster map.

Nothing here knows how clients are spoken with: who completes a `Cluster` hands that in.
"""
