"""Write `requirements.lock`: the exact version of everything that requirements.txt and the test tools bring along, as
installed where this runs. `make lock`, a second.

torch is left out with what it alone needs, because the machine chooses its build; so is what only one system has
(a marker that does not hold here). scripts/install.sh takes the lock as constraints, so lines that a machine has no
use for do no harm, and the same lock serves Python 3.11 and 3.12.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = {"torch"}
HEAD = "# Written by `make lock`: the versions that were tested together. torch is the machine's, see requirements.txt."


def declared() -> list[Requirement]:
    """The lines of requirements.txt and the test tools of pyproject.toml."""
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    return [Requirement(line) for line in (*lines, *tools)]


def locked(wanted: list[Requirement]) -> dict[str, str]:
    """Package -> its installed version, of `wanted` and of what they need. Raises SystemExit where one is missing."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    open_now = [(one, "") for one in wanted]
    while open_now:
        one, by = open_now.pop()
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras}:
            if name in LEFT_OUT or (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                package = distribution(name)
            except PackageNotFoundError:
                sys.exit(f"{one} is not installed{by}. Run `make test` first, which installs everything.")
            found[name] = package.version
            for line in package.requires or ():
                below = Requirement(line)
                if below.marker is None or below.marker.evaluate({"extra": extra}):
                    open_now.append((below, f", which {name} needs"))
    return found


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}" for name, version in sorted(locked(declared()).items())]
    (ROOT / "requirements.lock").write_text("\n".join([HEAD, *lines]) + "\n")


if __name__ == "__main__":
    main()
