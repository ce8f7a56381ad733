"""The value types of search parameters, one module each.

Every module says how elements are written into the index document and how the text of a query
becomes a condition on it, so that both sides of a comparison stay next to each other.
"""
