"""The analytics engine: datasets over the documents of buckets, asked in SQL++."""
