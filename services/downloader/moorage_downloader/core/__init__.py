"""Rules of the downloader: what a source means, which files belong to a model, when to try again."""
