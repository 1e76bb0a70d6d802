"""What the node is and has, and how much of it others use."""
