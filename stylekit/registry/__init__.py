"""Finding, loading and building plugins and their parts, and where these came from. Private; imports no torch."""
