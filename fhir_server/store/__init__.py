"""MongoDB: everything that is kept, and the only package that speaks to it."""
