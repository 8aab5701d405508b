"""The one switch between a server of one's own and one that strangers use: STEERING_PUBLIC=1.

What it changes stands in the README's table of environment variables, each where it is used.
"""

from __future__ import annotations

import os

SWITCH = "STEERING_PUBLIC"


def is_public() -> bool:
    """Whether strangers use this server. Anything but a plain no counts as yes, so that a typo does not open it."""
    return os.environ.get(SWITCH, "").strip().lower() not in ("", "0", "false", "no", "off")
