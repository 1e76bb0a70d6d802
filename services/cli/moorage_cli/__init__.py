"""The command line `moor`: a thin client of the mesh, and the launcher of a mesh on one machine."""
