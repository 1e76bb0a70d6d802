"""``python -m moorage_registry``."""

from moorage_registry.main import main

main()
