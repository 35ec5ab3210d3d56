"""Key-value operations on whole documents, vbuckets and the connection itself.

`commands.py` is the table; a file for each kind of operation has what the table names.
"""
