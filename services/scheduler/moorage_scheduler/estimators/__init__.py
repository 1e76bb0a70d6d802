"""What a model needs of memory: one module per part, added up by `gguf`."""
