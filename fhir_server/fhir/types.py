"""Names for the JSON that travels through the server (R4, https://hl7.org/fhir/R4/json.html)."""

from typing import Any

Json = Any
Resource = dict[str, Any]
"""One FHIR resource as parsed JSON. Decimals keep their digits (`fhir.codec`)."""
