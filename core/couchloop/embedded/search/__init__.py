"""A small search engine: documents in, hits out; it knows neither a cluster nor HTTP.

Its scores are tf-idf, good for an order where that is clear, and not those of a server.
"""
