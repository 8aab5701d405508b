"""Files to keep: relevance as CSV and JSON, the head set in the authors' form, and a run as one HTML page.

Each is written to the media folder under a name that says what it holds, and fetched from there. Milliseconds, but for
a report with videos, which it carries inside (about 50 kB each).
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.comparing import read_predictions
from app.previews import Previews
from app.results import heads_trained, verdict
from app.scores import Scores
from app.views import report as views
from app.views.comparison import how_it_went
from steering import pipeline
from steering.errors import InputError, NotFound
from steering.relevance import tables
from steering.selection import exchange
from steering.store import Store
from steering.types import (
    Comparison,
    FinetuneResult,
    Head,
    OpenLoopComparison,
    Origin,
    Relevance,
    Rollouts,
    Selection,
    Trust,
    origin_words,
)

KINDS = ("relevance.csv", "relevance.json", "selection.json")
VIDEOS_IN_REPORT = 8  # scenes


@dataclass(frozen=True)
class File:
    """A file in the media folder: its address, and the name under which the browser keeps it."""

    url: str
    name: str


class Exports:
    """Writes files of `store` through `previews`; `scores` answers about heads, `trust` how far they can be trusted."""

    def __init__(
        self, store: Store, previews: Previews, scores: Scores, trust: Callable[[str, str], Trust | None]
    ) -> None:
        self._store, self._previews, self._scores, self._trust = store, previews, scores, trust

    def heads(
        self, kind: str, demonstrations_id: str, measure: str, heads: Sequence[Head], origin: Origin | None = None
    ) -> File:
        """One of KINDS, of the relevance and the head set that are open. origin: where the set comes from."""
        relevance = self._scores.relevance(demonstrations_id, measure)
        trust = self._trust(demonstrations_id, measure)
        if kind == "selection.json":
            if not heads:
                raise InputError("No head is selected, so there is no set to export. Click cells of the map first.")
            content = exchange.to_json(self._scores.selection(demonstrations_id, heads, measure, origin))
        elif relevance is None:
            raise self._scores.no_scores(demonstrations_id)
        elif kind == "relevance.csv":
            table = io.StringIO()
            csv.writer(table, lineterminator="\n").writerows(tables.rows(relevance, heads, trust))
            content = table.getvalue()
        else:
            document = tables.document(relevance, trust)
            if heads:
                document["selection"] = json.loads(
                    exchange.to_json(self._scores.selection(demonstrations_id, heads, measure, origin))
                )
            content = json.dumps(document, indent=1)
        return File(self._previews.export(kind, content.encode()), kind)

    def report(self, run_id: str) -> File:
        """A finetune or a comparison, in scenes or on recordings, as one HTML page that opens offline."""
        value = self._store.load(run_id)
        if isinstance(value, FinetuneResult):
            run = views.Run(title=f"Finetuning: {views.method(value.method)}", finetunes=(self._trained(run_id),))
        elif isinstance(value, Comparison):
            run = self._compared(run_id, value)
        elif isinstance(value, OpenLoopComparison):
            run = self._predicted(run_id)
        else:
            raise InputError(f"{run_id} is no run. Open the report from a finished finetune or comparison.")
        old = "" if run.predictions else self._store.old_words(run_id)  # predictions say it themselves
        page = views.report(replace(run, notes=(old,) if old else ()))
        return File(self._previews.export(f"{run_id}.html", page.encode()), f"{run_id}.html")

    def _compared(self, run_id: str, value: Comparison) -> views.Run:
        rollouts: list[Rollouts] = []
        finetunes = []
        for parent in self._store.manifest(run_id).parents:
            rollouts.append(self._store.load(parent))
            finetunes += [self._trained(one) for one in self._store.manifest(parent).parents]
        filmed = {seed for one in rollouts for seed in one.recorded}
        order = sorted(
            (i for i, seed in enumerate(value.seeds) if seed in filmed),
            key=lambda i: (value.seeds[i] not in value.disagreement, i),
        )
        scenes = []
        for i in order[:VIDEOS_IN_REPORT]:
            shown = []
            for one in rollouts:
                j = one.seeds.index(value.seeds[i])
                films = dict(zip(one.recorded, one.videos, strict=True))
                video = _data_url(films[value.seeds[i]]) if value.seeds[i] in films else ""
                how = ", ".join(how_it_went(one, j))
                shown.append(views.Shot(one.method, bool(one.success[j]), one.steps[j] / one.rate_hz, video, how))
            scenes.append(views.Scene(i + 1, value.seeds[i], tuple(shown)))
        task = value.task.replace("_", " ")
        return views.Run(f"Comparison: {task}", tuple(finetunes), value, verdict(value), tuple(scenes))

    def _predicted(self, run_id: str) -> views.Run:
        predictions = read_predictions(self._store, run_id)
        parents = [self._store.manifest(parent).parents for parent in self._store.manifest(run_id).parents]
        demonstrations = self._store.load(parents[0][0])
        name = (demonstrations.task or demonstrations.name).replace("_", " ")
        finetunes = tuple(self._trained(adapter) for _, *adapters in parents for adapter in adapters)
        return views.Run(f"Predicted actions on recordings: {name}", finetunes, predictions=predictions)

    def _trained(self, adapter_id: str) -> views.Finetuned:
        result: FinetuneResult = self._store.load(adapter_id)
        manifest = self._store.manifest(adapter_id)
        demonstrations = self._store.load(manifest.parents[0])
        relevance = None
        for parent in manifest.parents[1:]:
            relevance = relevance or self._relevance_of(parent)
        name = demonstrations.task or demonstrations.name
        return views.Finetuned(
            adapter_id,
            result,
            name,
            " → ".join(demonstrations.episodes[0].all_instructions),
            len(demonstrations.episodes),
            relevance,
            heads_trained(result),
            pipeline.heldout_notice(self._store, adapter_id, manifest.parents[0]) if len(result.heldout_error) else "",
            origin_words(pipeline.origin_of(self._store, adapter_id)) if heads_trained(result) else "",
        )

    def _relevance_of(self, selection_id: str) -> Relevance | None:
        try:
            if not isinstance(self._store.load(selection_id), Selection):
                return None
            relevance = self._store.load(self._store.manifest(selection_id).parents[0])
        except (NotFound, IndexError):
            return None  # a selection from elsewhere has no relevance in this store
        return relevance if isinstance(relevance, Relevance) else None


def _data_url(path: Path) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
