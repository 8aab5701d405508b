"""The notebook's face: a policy and demonstrations in one hand, and what one asks of them in a line each.

    lens = steering.open("lerobot/pi05_base", "my_dataset")
    scores = lens.score()                  # in Jupyter: the head map
    heads = scores.top(20)
    with lens.off(heads):
        lens.loss()
    adapter = lens.finetune(heads, steps=300, folder="adapter")

Every line is one stage of `steering.pipeline`, with its defaults; the numbers are those of the page and the command
line. What a lens makes is kept in a store: the one that is given, or a temporary one that goes with the lens. Importing
this loads no torch.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steering import hub, pipeline, policy_cache
from steering.errors import InputError, NotFound
from steering.pipeline.making import made
from steering.progress import Progress, Report
from steering.samples import open_store, sample_demonstrations
from steering.selection import rules
from steering.store import Store
from steering.types import (
    PAPER_SET_SIZE,
    Activations,
    Comparison,
    Demonstrations,
    FinetuneResult,
    FinetuneSettings,
    Head,
    HeadShape,
    Relevance,
    Selection,
)

Heads = Selection | Sequence[Head]
Sink = Callable[[Report], None]


@dataclass(frozen=True)
class Scores:
    """A score for every head; shows itself as the head map. relevance: all that is known of them."""

    relevance: Relevance
    _choose: Callable[[int, Sequence[str] | None], Selection] = field(repr=False)

    def top(self, count: int = PAPER_SET_SIZE, stacks: Sequence[str] | None = None) -> Selection:
        """The `count` best heads that can move an action, of the VLM unless other `stacks` are named."""
        return self._choose(count, stacks)

    def __getitem__(self, head: Head) -> float:
        """The score of one head."""
        return float(self.relevance.score[self.relevance.shape.place(head)])

    def __repr__(self) -> str:
        return f"Scores({self.relevance!r})"

    def _repr_html_(self) -> str:
        return self.relevance._repr_html_()


def open(
    policy: str | Path = "embedded",
    demonstrations: Demonstrations | str | Path | None = None,
    *,
    store: Store | str | Path | None = None,
    progress: Sink | None = None,
) -> Lens:
    """A lens on a policy and demonstrations; nothing heavy runs yet.

    policy: `embedded`, a folder, or an id of the Hugging Face hub. demonstrations: a folder, file, zip or hub id in any
    format that is read here (docs/DEMONSTRATIONS.md), the id of demonstrations in the store, a `Demonstrations`, or
    None for the sample. store: where results are kept and found again; by default a temporary one, deleted with the
    lens. progress: called with a Report now and then while something runs. Raises NotFound or InputError, in words.
    """
    return Lens(str(policy), demonstrations, store, progress)


def score(activations: Activations, preset: str | None = None, *, ks: Sequence[int] | None = None) -> Scores:
    """Scores of heads whose outputs you have: those of `Activations.from_arrays` and `steering.tap`, of any model.

    preset: `paper` needs outputs and actions alone, `default` the robot's state, and is what is asked where it is
    there. ks: numbers of neighbours
    tried, by default those of the paper that there are enough rows for.
    """
    from steering.relevance import knn, scoring

    ks = tuple(ks) if ks is not None else knn.fitting_ks(activations.episode, activations.frame)
    relevance = scoring.score(activations, preset, ks)

    def choose(count: int, stacks: Sequence[str] | None) -> Selection:
        return rules.top_k(relevance, count, stacks)

    return Scores(relevance, choose)


class Lens:
    """A policy and demonstrations, and what can be asked of them; made by `steering.open`."""

    def __init__(
        self,
        policy: str,
        demonstrations: Demonstrations | str | Path | None = None,
        store: Store | str | Path | None = None,
        progress: Sink | None = None,
    ) -> None:
        from steering.models.checkpoint import open_checkpoint

        open_checkpoint(policy)  # its small files; raises in words where there is no such policy
        if store is None:
            folder = tempfile.mkdtemp(prefix="steering-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            store = folder
        self.policy = policy
        self.store = store if isinstance(store, Store) else open_store(store)
        self.progress = Progress(progress)
        self.demonstrations_id = self._demonstrations_id(demonstrations)
        self._chosen: dict[Selection, str] = {}
        self._adapters: dict[Path, str] = {}
        self._off: tuple[Head, ...] = ()
        self._probe: Any = None

    @property
    def demonstrations(self) -> Demonstrations:
        """The demonstrations; pictures are read when they are touched."""
        found: Demonstrations = self.store.load(self.demonstrations_id)
        return found

    @property
    def heads(self) -> HeadShape:
        """The policy's attention heads, stack by stack."""
        shape: HeadShape = self._loaded().head_shape
        return shape

    def activations(self, **settings: Any) -> Activations:
        """The output of every head at every frame; settings are those of `pipeline.capture`."""
        self._whole("Head outputs")
        found: Activations = self.store.load(self._captured(**settings))
        return found

    def score(self, preset: str | None = None, **question: Any) -> Scores:
        """Score every head by what its output tells of the demonstrated action.

        preset: by default that of `pipeline.score`. question: its other arguments, e.g. `target`, `phase`, `ks`.
        """
        self._whole("Scores")
        relevance_id = pipeline.score(
            self.store, activations_id=self._captured(), preset=preset, progress=self.progress, **question
        )

        def choose(count: int, stacks: Sequence[str] | None) -> Selection:
            selection_id = pipeline.select(self.store, relevance_id=relevance_id, count=count, stacks=stacks)
            selection = pipeline.selection_of(self.store, selection_id)
            self._chosen[selection] = selection_id
            return selection

        relevance: Relevance = self.store.load(relevance_id)
        return Scores(relevance, choose)

    @contextmanager
    def off(self, heads: Heads) -> Iterator[Lens]:
        """Switch heads off while the context is open: their output is 0 at every token, in this process.

        `loss` then is that of the policy without them. What is kept for later (scores, adapters, comparisons) is of the
        whole policy and is refused inside.
        """
        from steering.models.hooks import switched_heads

        chosen, before = _heads(heads), self._off
        with switched_heads(self._loaded().model, dict.fromkeys(chosen, 0.0)):
            self._off = (*before, *chosen)
            try:
                yield self
            finally:
                self._off = before

    def loss(self, *, frames: int = 64, samples: int = 4, seed: int = 0) -> float:
        """The policy's flow-matching loss on `frames` frames evenly spread over the demonstrations.

        Mean over frames, steps, action dimensions and `samples` draws of noise and time, the same for every call.
        """
        from steering.attribution import probe
        from steering.models.sites import ACTIONS

        policy = self._loaded()
        if not policy.layout.on(ACTIONS):
            raise InputError(
                f"{policy.name} writes its actions as words and has no flow-matching loss. Score its heads."
            )
        asked = (frames, samples, seed)
        if self._probe is None or self._probe[0] != asked:
            drawn = probe.probe(policy, self.demonstrations, frames=frames, samples=samples, seed=seed)
            self._probe = (asked, drawn)
        return probe.mean_loss(self._probe[1])

    def finetune(
        self,
        heads: Heads | None = None,
        *,
        method: str = "steering",
        steps: int = FinetuneSettings.steps,
        folder: str | Path | None = None,
        heldout_episodes: Sequence[int] | None = None,
        **settings: Any,
    ) -> FinetuneResult:
        """Train the heads alone, or by another of `types.METHODS` (`lora` needs no heads); an ordinary PEFT adapter.

        folder: a new folder that the adapter is copied to; without it the adapter goes with a temporary store.
        settings: fields of `types.FinetuneSettings`, or `preset`.
        """
        self._whole("A finetune")
        target = None if folder is None else Path(folder)
        if target is not None and target.exists():
            raise InputError(f"{target} exists already. Name a new folder for the adapter.")
        adapter_id = pipeline.finetune(
            self.store,
            demonstrations_id=self.demonstrations_id,
            method=method,
            selection_id=None if heads is None else self._selection_id(heads),
            settings={"steps": steps, **settings},
            heldout_episodes=heldout_episodes,
            policy=self.policy,
            progress=self.progress,
        )
        result: FinetuneResult = self.store.load(adapter_id)
        self._adapters[result.folder] = adapter_id
        if target is None:
            return result
        shutil.copytree(result.folder, target)
        self._adapters[target] = adapter_id
        return replace(result, folder=target)

    def compare(self, *adapters: FinetuneResult, trials: int = 20, seed: int = 0) -> Comparison:
        """The untouched policy and adapters of this lens on the same simulated scenes, with intervals and paired tests.

        Only where the demonstrations are of a task of the simulator; `pipeline.open_loop` compares on recordings.
        """
        self._whole("A comparison")
        task = self.demonstrations.task
        if not task:
            raise InputError("These demonstrations are no task of the simulator. Compare by `pipeline.open_loop`.")
        methods = [one.method for one in adapters]
        if len(set(methods)) < len(methods):
            raise InputError(f"Expected one adapter of each method, got {', '.join(methods)}. Compare two at a time.")
        unknown = [one.folder.name for one in adapters if one.folder not in self._adapters]
        if unknown:
            raise InputError(f"Expected adapters that this lens has trained; {unknown[0]} is not one of them.")
        named = {"zero_shot": None, **{one.method: self._adapters[one.folder] for one in adapters}}
        comparison = pipeline.evaluate(
            self.store,
            task=task,
            adapters=named,
            trials=trials,
            seed=seed,
            videos=0,
            policy=self.policy,
            progress=self.progress,
        )
        found: Comparison = self.store.load(comparison)
        return found

    def __repr__(self) -> str:
        return f"Lens({self.policy}, {pipeline.name_of(self.store, self.demonstrations_id)})"

    def _loaded(self) -> Any:
        return policy_cache.get(self.policy, None, self.demonstrations, self.progress)

    def _captured(self, **settings: Any) -> str:
        return pipeline.capture(
            self.store,
            demonstrations_id=self.demonstrations_id,
            policy=self.policy,
            progress=self.progress,
            **settings,
        )

    def _whole(self, what: str) -> None:
        if self._off:
            raise InputError(
                f"{what} would be kept as those of the whole policy, while {len(self._off)} of its heads are off. Ask "
                "outside the `with` block; inside, `loss` answers."
            )

    def _selection_id(self, heads: Heads) -> str:
        if isinstance(heads, Selection) and heads in self._chosen:
            return self._chosen[heads]
        selection = heads if isinstance(heads, Selection) else Selection(self.heads.ordered(set(heads)), "manual")
        rows = [[one.stack, one.layer, one.head] for one in selection.heads]
        return made(self.store, "selection", (), {"rule": selection.rule, "heads": rows}, lambda: selection)

    def _demonstrations_id(self, given: Demonstrations | str | Path | None) -> str:
        if isinstance(given, Demonstrations):
            return self.store.save("demonstrations", given)
        if given is None:
            given = sample_demonstrations()
        name = str(given)
        if name.startswith("demonstrations-"):
            self.store.manifest(name)  # raises in words where there is none
            return name
        if not Path(given).exists() and hub.named(name) is None:
            raise NotFound(
                f"Expected demonstrations: a folder, file or zip, a hub id such as 'lerobot/pusht', or their id in the "
                f"store; there is no {name!r}. Check the path."
            )
        return pipeline.import_demonstrations(self.store, path=name, progress=self.progress)


def _heads(heads: Heads) -> tuple[Head, ...]:
    chosen = tuple(heads.heads if isinstance(heads, Selection) else heads)
    if not chosen:
        raise InputError("Expected at least one head to switch off, got none.")
    return chosen
