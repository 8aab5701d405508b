"""Where the embedded policy, the samples, the evidence and the page lie: in a checkout, or in an installed wheel.

A checkout has `app/`, `app.py` and `assets/` beside `steering/`; a wheel has them in `steering/page/`, so that it
brings no package called `app` (scripts/wheel.py puts them there).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_A_WHEEL = _PACKAGE / "page"

PAGE = _IN_A_WHEEL if _IN_A_WHEEL.is_dir() else _PACKAGE.parent
"""The folder with `app.py`, which starts the page."""
ASSETS = PAGE / "assets"
