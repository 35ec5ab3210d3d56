"""Sub-document operations: paths in a document's body and in its extended attributes.

Each operation is a list of specs, one in a single-path operation. `specs` makes the list out of a
request and refuses what can never work; `lookup` and `mutate` do it, by what `paths` knows of JSON
texts and `virtual` of attributes that nobody stored.
"""
