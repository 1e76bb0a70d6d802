"""A process of the mesh: settings, logs, spans, background tasks, start and end."""
