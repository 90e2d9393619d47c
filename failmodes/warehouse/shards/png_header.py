"""The size that a PNG says it has, in its first bytes; nothing is decoded."""

HEADER_BYTES = 24
MOST_PICTURE_PIXELS = 2**24  # of one picture that a warehouse keeps, 4,096 squared

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_size(content: bytes) -> tuple[int, int] | None:
    """Height and width of a PNG, pixels; None where it is none."""
    if len(content) < HEADER_BYTES or content[:8] != _SIGNATURE or content[12:16] != b"IHDR":
        return None
    return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
