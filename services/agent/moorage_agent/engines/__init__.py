"""Inference engines as processes: started, adopted, watched, stopped."""
