"""What the audit trail says of an interaction; pure."""
