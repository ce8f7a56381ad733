"""Pure access decisions: scopes, policy, keys and signed assertions."""
