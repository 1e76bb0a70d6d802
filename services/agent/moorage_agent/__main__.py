"""``python -m moorage_agent``."""

from moorage_agent.main import main

main()
