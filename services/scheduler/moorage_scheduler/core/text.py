"""Numbers as people read them."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def amount(size_bytes: int) -> str:
    """An amount of memory, e.g. ``3.2 GiB``."""
    value, unit = float(size_bytes), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def count(number: int, noun: str) -> str:
    """A number with its noun, e.g. ``1 worker`` or ``3 workers``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
