"""Searches (https://hl7.org/fhir/R4/search.html), without a database.

A URL becomes a `SearchRequest`; its conditions are judged alike by MongoDB, on the index document
stored beside each resource, and in memory, on the same document.
"""
