"""``python -m moorage_scheduler``."""

from moorage_scheduler.main import main

main()
