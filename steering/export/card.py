"""The card of an exported policy, README.md: what it is, its heads and why, data, results with intervals, versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

TAGS = ("robotics", "robotic-steering")
LIBRARIES = {"lerobot": "lerobot", "peft": "peft", "openpi": "openpi", "transformers": "transformers"}


def model_card(
    title: str, base: str, library: str, sections: Mapping[str, Sequence[str]], versions: Mapping[str, str]
) -> str:
    """The text of the card. sections: heading -> its lines in Markdown; empty ones are left out."""
    tags = [*TAGS, *(["lerobot"] if library == "lerobot" else [])]
    lines = ["---", f"base_model: {json.dumps(base, ensure_ascii=False)}", f"library_name: {LIBRARIES[library]}"]
    lines += ["pipeline_tag: robotics", f"tags: [{', '.join(tags)}]", "---", "", f"# {title}", ""]
    for heading, said in sections.items():
        if said:
            lines += [f"## {heading}", "", *said, ""]
    lines += ["## Versions", "", ", ".join(f"{name} {version}" for name, version in versions.items()) + "."]
    return "\n".join(lines).rstrip() + "\n"
