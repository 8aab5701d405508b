"""Which files of the repository the documentation's site is made of: a hook of mkdocs, named in mkdocs.yml.

Every page keeps the place that it has in the repository, so that one link is right on GitHub and on the site, and no
text is kept twice: README.md is the front page. One page is made here, that of the commands, from what they say
themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *("README.md", "NOTES.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CHANGELOG.md"),
    *("LICENSE", "NOTICE", "CITATION.cff", "docs/*", "assets/*.md", "assets/*.png", "assets/*.webp"),
    *("assets/policy/README.md", "assets/evidence/*.md", "assets/evidence/*_figures/*.png", "assets/evidence/heads/*"),
)
COMMANDS = "docs/COMMANDS.md"


def paths() -> list[str]:
    """Every file of the site, from the repository's root."""
    found = (path for pattern in PAGES for path in sorted(ROOT.glob(pattern)) if path.is_file())
    return [path.relative_to(ROOT).as_posix() for path in found]


def commands() -> str:
    """The page of the commands: what `--help` says of each."""
    import typer.main
    from typer.cli import get_docs_for_click

    import steering.cli.main
    from steering.cli.frame import app

    assert steering.cli.main  # its import registers the commands
    command = typer.main.get_command(app)
    told = get_docs_for_click(obj=command, ctx=typer.Context(command), name="python -m steering", title="Commands")
    return told.replace("**Usage**:\n\n```console", "```console")


def on_files(files: Files, config: Any) -> Files:
    """The files of the theme and the plugins, with those of the repository in place of docs/ alone."""
    kept = [file for file in files if file.src_dir != config.docs_dir]
    own = [File(path, str(ROOT), config.site_dir, config.use_directory_urls) for path in paths()]
    own.append(File.generated(config, COMMANDS, content=commands()))
    return Files([*kept, *own])
