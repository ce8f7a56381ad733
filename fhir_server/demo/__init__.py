"""A clinic to try the server with, and a play of what its users do. Talks HTTP, like any client."""
