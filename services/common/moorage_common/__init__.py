"""What every service of the mesh stands on."""
