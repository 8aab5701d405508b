"""What every question is asked over: the store as whoever asks may see it, jobs, policies, and small files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from app.costs import PolicySize
from app.driving import Driving
from app.evidence import Grid
from app.media import Media
from app.policies import Policies
from app.uploads import Uploads
from app.visible import VisitorStore
from app.visitors import owner
from steering.jobs.client import Jobs
from steering.store import Store

ASSETS = Path(__file__).resolve().parents[2] / "assets"
Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Context:
    """Everything that questions read. dismissed: failed jobs that were read, until the server ends; memory: question
    -> what it remembers (`remembered`).
    """

    store: VisitorStore
    jobs: Jobs
    policies: Policies
    media: Media
    uploads: Uploads
    driving: Driving
    grid: Grid
    dismissed: set[str] = field(default_factory=set)
    memory: dict[Callable[..., object], Callable[..., Any]] = field(default_factory=dict)

    @property
    def policy(self) -> str:
        """The source of the policy in use, as `steering.models.loading` knows it."""
        return self.policies.source

    @property
    def policy_name(self) -> str:
        """Its name for people."""
        return self.policies.name(self.policies.key)

    @property
    def size(self) -> PolicySize:
        """Its sizes; NotFound when there is none."""
        return self.policies.size()

    def load(self, artefact_id: str) -> Any:
        """An artefact, kept in memory for the next question."""
        return self.store.kept(artefact_id)

    def submit(self, function: str, **arguments: Any) -> str:
        """Queue a job of whoever asks; its id."""
        return self.jobs.submit(function, owner=owner(), **arguments)

    def forget(self) -> None:
        """Something was deleted: keep nothing of it in memory."""
        self.store.forget()
        self.memory.clear()


def open_context(store: Store, jobs: Jobs, policy: str = "embedded", roots: Sequence[Path] = ()) -> Context:
    """A context over a store. policy: the source of the first one; roots: folders whose policies browsers may open."""
    seen = VisitorStore(store)
    return Context(
        store=seen,
        jobs=jobs,
        policies=Policies(seen, jobs, policy, roots),
        media=Media(seen),
        uploads=Uploads(seen),
        driving=Driving(seen),
        grid=Grid(),
    )


def store_folder() -> Path:
    """Where results are kept: STEERING_STORE, else `.workbench` in the current folder."""
    return Path(os.environ.get("STEERING_STORE", ".workbench"))


def default_store() -> Store:
    """The user's store over the sample store."""
    samples = Path(os.environ.get("STEERING_SAMPLES", ASSETS / "samples"))
    return Store(store_folder(), readonly=[samples] if samples.is_dir() else [])


def remembered(
    most: int,
) -> Callable[[Callable[Concatenate[Context, Given], Answer]], Callable[Concatenate[Context, Given], Answer]]:
    """Keeps the `most` newest answers of a question, whose arguments are hashable, until something is deleted."""

    def keep(
        question: Callable[Concatenate[Context, Given], Answer],
    ) -> Callable[Concatenate[Context, Given], Answer]:
        @functools.wraps(question)
        def ask(context: Context, *given: Given.args, **named: Given.kwargs) -> Answer:
            if question not in context.memory:
                context.memory[question] = functools.lru_cache(most)(functools.partial(question, context))
            answer: Answer = context.memory[question](*given, **named)
            return answer

        return ask

    return keep
