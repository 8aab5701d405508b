"""Comparisons that the page asks for: rollouts in the simulator, told otherwise or not, and recordings without one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.damage import unless_damaged
from app.training import control_of
from app.views.compare_open_loop import Predictions
from steering import pipeline
from steering.comparison.open_loop import open_loop_report
from steering.errors import InputError, SteeringError
from steering.jobs.client import Jobs
from steering.manifest import Manifest
from steering.store import Store
from steering.types import CONTROL_LABELS, INSTRUCTIONS, METHOD_LABELS, OpenLoop, OpenLoopComparison

if TYPE_CHECKING:
    from app.service import Workbench

FEWEST_EPISODES = 3
"""Demonstrations of which finetuning leaves one out."""


class Comparing:
    """Queues comparisons of the methods that are trained on a set, and reads open-loop results of `store`."""

    def __init__(self, store: Store, jobs: Jobs, bench: Workbench) -> None:
        self._store, self._jobs, self._bench = store, jobs, bench

    def start(
        self,
        owner: str,
        demonstrations_id: str,
        task: str,
        methods: Sequence[str],
        trials: int,
        seed: int,
        variations: Sequence[str],
        words: Sequence[str] = (),
    ) -> list[str]:
        """Queue rollouts of every method on the same scenes, and again for each of `words` (types.INSTRUCTIONS)."""
        adapters = self._adapters(demonstrations_id, methods)
        return [
            self._jobs.submit(
                "evaluate",
                owner=owner,
                task=task,
                adapters=adapters,
                trials=trials,
                seed=seed,
                variations=list(variations),
                instruction=instruction,
                policy=self._bench.policy,
            )
            for instruction in INSTRUCTIONS
            if instruction == "original" or instruction in words
        ]

    def start_open_loop(self, owner: str, demonstrations_id: str, methods: Sequence[str]) -> str:
        """Queue predictions of every method on the episodes that finetuning left out."""
        if not demonstrations_id:
            raise InputError("There are no demonstrations to compare on. Record or upload some first.")
        episodes = len(self._store.load(demonstrations_id).episodes)
        if episodes < FEWEST_EPISODES:
            raise InputError(
                f"This set has {episodes} episode{'' if episodes == 1 else 's'}, so none is held out. "
                f"Record or upload {FEWEST_EPISODES} or more."
            )
        return self._jobs.submit(
            "open_loop",
            owner=owner,
            demonstrations_id=demonstrations_id,
            adapters=self._adapters(demonstrations_id, methods),
            policy=self._bench.policy,
        )

    def predictions(self, demonstrations_id: str) -> Predictions | None:
        """The newest open-loop comparison on a set, None where there is none."""
        for manifest in self._store.find("open_loop_comparison"):
            try:
                if demonstrations_id in self._store.manifest(manifest.parents[0]).parents:
                    return read_predictions(self._store, manifest.id)
            except (SteeringError, IndexError):
                continue  # the line about damage names it, or what it was made of is gone
        return None

    def trained(self, demonstrations_id: str) -> dict[str, str]:
        """Method, or control, -> the newest adapter trained on a set with the policy in use."""
        found: dict[str, str] = {}
        for manifest in self._store.find("adapter") if demonstrations_id else ():
            ours = demonstrations_id in manifest.parents and self._bench.policies.made(manifest)
            if ours and (name := unless_damaged(self._trained_as, manifest)):
                found.setdefault(name, manifest.id)
        return found

    def _trained_as(self, manifest: Manifest) -> str:
        """Method, or control, that an adapter is of. Raises Damaged where that cannot be told, or it cannot be used."""
        self._store.kept(manifest.id)
        method = str(manifest.params.get("method"))
        selection = next((parent for parent in manifest.parents if parent.startswith("selection-")), None)
        return control_of(self._store, selection) or method if method == "steering" else method

    def _adapters(self, demonstrations_id: str, methods: Sequence[str]) -> dict[str, str | None]:
        trained = self.trained(demonstrations_id)
        found = {
            m: trained.get(m)
            for m in (*METHOD_LABELS, *CONTROL_LABELS)
            if m in methods and (m == "zero_shot" or m in trained)
        }
        if not found:
            raise InputError("Tick at least one method to compare. Methods appear here once they are trained.")
        return found


def read_predictions(store: Store, comparison_id: str) -> Predictions:
    """An open-loop comparison with what it was made of and what it says."""
    value: OpenLoopComparison = store.load(comparison_id)
    made: list[OpenLoop] = [store.load(parent) for parent in store.manifest(comparison_id).parents]
    said = open_loop_report(value, pipeline.open_loop_notices(store, comparison_id))
    old = store.old_words(comparison_id)
    return Predictions(comparison_id, value, tuple(made), (*said.splitlines(), *([old] if old else [])))
