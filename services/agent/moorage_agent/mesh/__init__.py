"""The agent's side of the mesh: the registry's stream, the reports, the bytes of artifacts."""
