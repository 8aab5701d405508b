"""The switch between a server of one's own and one that strangers use, STEERING_PUBLIC=1, and what visitors may take.

What the switch changes stands in docs/SETTINGS.md, each where it is used.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from steering.errors import InputError

SWITCH = "STEERING_PUBLIC"


def is_public() -> bool:
    """Whether strangers use this server. Anything but a plain no counts as yes, so that a typo does not open it."""
    return os.environ.get(SWITCH, "").strip().lower() not in ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Quota:
    """What one visitor may take; infinity for no bound. places: jobs that wait or run; minutes: of work in 24 hours;
    disk_gb: of artefacts and uploads; keep_days: how long what is not worked with stays; drive_minutes: longest drive;
    address_places: jobs of all visitors of one address who came less than a day ago.
    """

    places: float
    minutes: float
    disk_gb: float
    keep_days: float
    drive_minutes: float
    address_places: float

    @property
    def disk_bytes(self) -> float:
        """disk_gb in bytes."""
        return self.disk_gb * 1e9

    @property
    def address_minutes(self) -> float:
        """Minutes of work in 24 hours of all new visitors of one address: as many times a visitor's as their places."""
        return self.minutes * max(1.0, self.address_places / self.places) if math.isfinite(self.places) else math.inf

    @property
    def keep_s(self) -> float:
        """keep_days in seconds."""
        return self.keep_days * 24 * 3600


OWN = Quota(16, math.inf, math.inf, math.inf, math.inf, math.inf)
"""On a server of one's own."""
STRANGERS = Quota(4, 120, 2, 7, 20, 24)
"""Where strangers use it."""
VARIABLES = {
    "places": "STEERING_PLACES",
    "minutes": "STEERING_MINUTES",
    "disk_gb": "STEERING_DISK_GB",
    "keep_days": "STEERING_KEEP_DAYS",
    "drive_minutes": "STEERING_DRIVE_MINUTES",
    "address_places": "STEERING_ADDRESS_PLACES",
}
"""Part of a Quota -> the environment variable that sets it."""


def quota() -> Quota:
    """What a visitor may take on this server. Raises InputError for a variable that is no number above 0."""
    usual = STRANGERS if is_public() else OWN
    values = {name: _number(variable, getattr(usual, name)) for name, variable in VARIABLES.items()}
    return Quota(**values)


def _number(variable: str, usual: float) -> float:
    given = os.environ.get(variable, "").strip()
    if not given:
        return usual
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise InputError(f"{variable} is {given!r}. Expected a number above 0, or inf for no bound.")
    return value
