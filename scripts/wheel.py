"""What the wheel and the source archive hold besides `steering/`: the page and the assets, as `steering/page/`.

The page's package is called `app`, which is nobody's to put on everyone's import path. In the wheel it therefore lies
in a folder beside `app.py`, as in a checkout, and `steering app` runs that file; a script's own folder comes first on
its path. pyproject.toml names these classes as setuptools' commands, so `pip install .` and `python -m build` need no
more.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parents[1]
PAGE = ("app", "assets", "app.py")
BUILT_FROM = (*PAGE, "scripts/wheel.py", "requirements.txt")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class Wheel(build_py):
    """`build_py` that adds the page; an editable installation finds it in the checkout."""

    def run(self) -> None:
        """Build the packages, then copy the page beside them."""
        super().run()
        if self.editable_mode:
            return
        page = Path(self.build_lib) / "steering" / "page"
        shutil.rmtree(page, ignore_errors=True)
        page.mkdir(parents=True)
        for name in PAGE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, page / name, ignore=LEFT_OUT)
            else:
                shutil.copy2(source, page / name)


class Source(sdist):
    """`sdist` with all that a wheel is built from."""

    def add_defaults(self) -> None:
        """Add the page's files to setuptools' own choice."""
        super().add_defaults()
        for name in BUILT_FROM:
            source = ROOT / name
            files = [source] if source.is_file() else [one for one in source.rglob("*") if one.is_file()]
            self.filelist.extend(
                str(one.relative_to(ROOT)) for one in files if "__pycache__" not in one.parts and one.name[0] != "."
            )
