"""How commands write numbers of bytes."""

__all__ = ["format_size"]


def format_size(count: int) -> str:
    """Bytes with a unit that leaves few digits."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
