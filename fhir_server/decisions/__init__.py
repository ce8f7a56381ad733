"""The decisions of FHIR's writing interactions: pure, so that one transaction can hold many."""
