"""FHIR's vocabulary: types, errors, references, dates, ids, JSON. Imports nothing of ours."""
