"""Memory of the machine that can still be taken, without torch. Microseconds."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]

CGROUP = Path("/sys/fs/cgroup")


def system_bytes() -> int:
    """What the system can give without swapping, and no more than a container's limit leaves."""
    return min(int(psutil.virtual_memory().available), _container_bytes())


def _container_bytes() -> int:
    """What a container's limit leaves (cgroup version 2); without one, more than any machine has."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = (CGROUP / "memory.current").read_text().strip()
        reclaimable = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except OSError:
        return 1 << 62
    if limit == "max":
        return 1 << 62
    return int(limit) - int(used) + int(reclaimable.get("inactive_file", 0))
