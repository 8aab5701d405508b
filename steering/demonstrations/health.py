"""Is a dataset fit for head selection? What is wrong with it, how badly, and what that does to the scores.

`examine` reads the states and actions of up to `EPISODES` episodes, and a few pictures of some of them; about 1 s for
20 episodes. Every check is a function from what was read to problems; `problems` of the report are sorted by severity.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steering.demonstrations import column_roles
from steering.demonstrations.checks import CHECKS
from steering.demonstrations.dataset import Dataset
from steering.demonstrations.mapping import Guess
from steering.demonstrations.sampling import Problem, read_sample
from steering.demonstrations.statistics import PolicyStatistics
from steering.errors import SteeringError
from steering.progress import Progress

SEVERITIES = ("error", "warning", "note")
USABLE = ("yes", "with problems", "no")
VERDICTS = {"yes": "usable", "with problems": "usable, with problems", "no": "not usable"}
EPISODES = 200


@dataclass(frozen=True)
class FeatureLine:
    """One feature, for people. used: the roles that the mapping gives it, e.g. `exterior`, `state`."""

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    used: tuple[str, ...]


@dataclass(frozen=True)
class HealthReport:
    """What a dataset holds and what is wrong with it.

    usable: `yes`, `with problems` or `no`. frames: of all episodes; longest, shortest: of one. rate_hz: shared by all,
    None where they differ or none is known. cameras: role -> (height, width) of a picture as stored, after turning.
    state_names, action_names: of the columns that the mapping takes. mapping, reasons: what was examined, and why.
    examined: how many episodes were read.
    """

    name: str
    format: str
    robot: str
    episodes: int
    frames: int
    shortest: int
    longest: int
    rate_hz: float | None
    instructions: tuple[str, ...]
    cameras: dict[str, tuple[int, int]]
    state_dims: int
    action_dims: int
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    features: tuple[FeatureLine, ...]
    problems: tuple[Problem, ...]
    mapping: dict[str, Any]
    reasons: tuple[str, ...]
    examined: int
    signature: str

    @property
    def usable(self) -> str:
        """`no` with an error among the problems, `with problems` with a warning, else `yes`."""
        found = {problem.severity for problem in self.problems}
        return "no" if "error" in found else "with problems" if "warning" in found else "yes"

    def document(self) -> dict[str, Any]:
        """As plain JSON values, with `usable`."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"usable": self.usable, **plain}


def examine(
    dataset: Dataset, guess: Guess, *, policy: PolicyStatistics | None = None, progress: Progress | None = None
) -> HealthReport:
    """Read a dataset as far as needed and report on it. Problems of its content are in the report, not raised."""
    progress = progress or Progress()
    mapping = guess.mapping
    sample = read_sample(dataset, mapping, EPISODES, progress)
    problems = [Problem("note", "reader", notice, "") for notice in dataset.notices]
    for check in CHECKS:
        problems += check(sample, policy)
    lengths = [episode.frames for episode in dataset.episodes]
    roles = _roles(guess)
    keyframes = (column_roles.said(sample.robot, sample.dims),) if all(sample.dims) else ()
    return HealthReport(
        name=dataset.name,
        format=dataset.format,
        robot=dataset.robot,
        episodes=len(dataset.episodes),
        frames=sum(lengths),
        shortest=min(lengths, default=0),
        longest=max(lengths, default=0),
        rate_hz=mapping.rate_hz or dataset.rate_hz,
        instructions=tuple(dict.fromkeys(text for e in dataset.episodes for text in e.all_instructions))[:50],
        cameras={role: images.shape[1:3] for role, images in sample.first_pictures.items()},
        state_dims=sample.dims[0],
        action_dims=sample.dims[1],
        state_names=column_roles.names_of(dataset.features, mapping.state),
        action_names=column_roles.names_of(dataset.features, mapping.action),
        features=tuple(
            FeatureLine(f.name, f.kind, f.shape, f.dtype, tuple(roles.get(f.name, ())))
            for f in list(dataset.features.values())[:200]
        ),
        problems=tuple(sorted(problems, key=lambda problem: SEVERITIES.index(problem.severity))),
        mapping=mapping.document(),
        reasons=(*guess.reasons, *keyframes),
        examined=len(sample.episodes),
        signature=dataset.signature(),
    )


def unreadable(name: str, error: SteeringError) -> dict[str, Any]:
    """The document of a report on something that could not be opened at all."""
    problem = Problem("error", "unreadable", str(error), "Nothing can be scored.")
    return {"usable": "no", "name": name, "format": None, "problems": [dataclasses.asdict(problem)]}


def exit_code(document: Mapping[str, Any]) -> int:
    """Of a report's document: 0 usable, 1 usable with problems, 2 not usable."""
    return USABLE.index(document["usable"])


def report_text(document: Mapping[str, Any]) -> str:
    """A report's document as lines for a terminal."""
    lines = [f"{document['name']}: {VERDICTS[document['usable']]}"]
    if document["format"] is not None:
        rate = f"{document['rate_hz']:g} Hz" if document["rate_hz"] else "unknown"
        size = f"{document['frames']} frames, {document['shortest']} to {document['longest']} each"
        lines += [
            f"  format    {document['format']}" + (f", robot {document['robot']}" if document["robot"] else ""),
            f"  episodes  {document['episodes']} ({size}; {document['examined']} examined)",
            f"  rate      {rate}",
            *(f"  camera    {role}, {width} x {height} px" for role, (height, width) in document["cameras"].items()),
            f"  state     {document['state_dims']}: {', '.join(document['state_names'][:16])}",
            f"  action    {document['action_dims']}: {', '.join(document['action_names'][:16])}",
            *(f"  says      {text}" for text in document["instructions"][:5]),
            "features",
        ]
        for feature in document["features"]:
            shape = " x ".join(map(str, feature["shape"])) or "1"
            used = f"  -> {', '.join(feature['used'])}" if feature["used"] else ""
            lines.append(f"  {feature['name']}: {feature['kind']} {shape} {feature['dtype']}{used}")
        lines += ["mapping", *(f"  {reason}" for reason in document["reasons"])]
    lines += ["problems"] if document["problems"] else ["no problems found"]
    for problem in document["problems"]:
        lines.append(f"  {problem['severity']}: {problem['words']} {problem['meaning']}".rstrip())
    return "\n".join(lines)


def _roles(guess: Guess) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for role, camera in guess.mapping.cameras.items():
        roles.setdefault(camera.feature, []).append(role)
    for what, columns in (("state", guess.mapping.state), ("action", guess.mapping.action)):
        for one in columns:
            roles.setdefault(one.feature, []).append(what)
    return roles
