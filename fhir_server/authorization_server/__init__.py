"""SMART's authorization server: tokens for clients, and who stands behind a token."""
