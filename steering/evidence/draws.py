"""Seeds of what experiments draw by chance. Instant."""

from __future__ import annotations

import hashlib


def lot(*names: str | int) -> int:
    """A seed that hangs on every one of `names`, so that what is drawn for one task and seed is no draw of another."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8])
