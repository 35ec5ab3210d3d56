"""What a bucket is: documents in vbuckets, scopes and collections. Knows no protocol and no node.

Nodes are numbers here; a bucket says which of them have copies of which vbucket.
"""
