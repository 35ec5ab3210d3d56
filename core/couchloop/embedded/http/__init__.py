"""The HTTP side of a node: one file speaks the protocol, one knows who answers what.

All requests want Basic authentication (RFC 7617) or a client certificate. Each
file of endpoints ends in the routes that lead to them.
"""
