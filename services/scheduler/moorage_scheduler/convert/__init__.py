"""Between the protos and the core's own types, one module per kind of thing."""
