"""``python -m moorage_downloader``."""

from moorage_downloader.main import main

main()
