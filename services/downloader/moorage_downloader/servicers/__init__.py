"""The services that the downloader answers."""
