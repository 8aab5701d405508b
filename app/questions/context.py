"""What every question is asked over: the store as whoever asks may see it, jobs, policies, and small files."""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from app.classbook import ClassBook
from app.costs import PolicySize
from app.driving import Driving
from app.evidence import Experiments
from app.media import Media
from app.policies import Policies
from app.uploads import Uploads
from app.visible import VisitorStore
from app.visitors import owner
from steering.jobs.client import Jobs
from steering.pipeline.making import kept
from steering.store import Store

ASSETS = Path(__file__).resolve().parents[2] / "assets"
Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Value = TypeVar("Value")


class _Mark:
    """What answers are remembered under: they are dropped with it."""


class Memory:
    """What the questions of a context remember (`remembered`), until it is cleared."""

    def __init__(self) -> None:
        self.mark = _Mark()

    def clear(self) -> None:
        """Remember nothing of what was asked until now."""
        self.mark = _Mark()


@dataclass(frozen=True)
class Context:
    """Everything that questions read. dismissed: failed jobs that were read, until the server ends; memory: what
    questions remember.
    """

    store: VisitorStore
    jobs: Jobs
    policies: Policies
    media: Media
    uploads: Uploads
    driving: Driving
    experiments: Experiments
    dismissed: set[str] = field(default_factory=set)
    memory: Memory = field(default_factory=Memory)

    @property
    def classes(self) -> ClassBook:
        """The classes of this server."""
        return self.store.classes

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

    def load(self, artefact_id: str, kind: type[Value]) -> Value:
        """An artefact, kept in memory for the next question. Raises InputError where it holds no `kind`."""
        return kept(self.store, artefact_id, kind)

    def submit(self, function: str, **arguments: object) -> str:
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
        experiments=Experiments(),
    )


def store_folder() -> Path:
    """Where results are kept: STEERING_STORE, else `.workbench` in the current folder."""
    return Path(os.environ.get("STEERING_STORE", ".workbench"))


def default_store() -> Store:
    """The user's store over the sample store."""
    samples = Path(os.environ.get("STEERING_SAMPLES", ASSETS / "samples"))
    return Store(store_folder(), readonly=[samples] if samples.is_dir() else [])


class _Answers(Generic[Answer]):
    """The `most` newest answers of one question, by what was asked. Threads share it, and work answers out in turn: of
    fifty who ask the same at once, one computes, and nobody else holds its arrays.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.RLock()

    def get(self, asked: Hashable, ask: Callable[[], Answer]) -> Answer:
        """The answer to `asked`, of `ask` where it is not remembered."""
        if (known := self._known(asked)) is not None:
            return known[0]
        with self._turn:
            if (known := self._known(asked)) is not None:
                return known[0]
            answer = ask()
            with self._lock:
                self._found[asked] = answer
                while len(self._found) > self._most:
                    self._found.popitem(last=False)
            return answer

    def _known(self, asked: Hashable) -> tuple[Answer] | None:
        with self._lock:
            if asked not in self._found:
                return None
            self._found.move_to_end(asked)
            return (self._found[asked],)


def remembered(
    most: int,
) -> Callable[[Callable[Concatenate[Context, Given], Answer]], Callable[Concatenate[Context, Given], Answer]]:
    """Keeps the `most` newest answers of a question, whose arguments are hashable, until something is deleted."""

    def keep(
        question: Callable[Concatenate[Context, Given], Answer],
    ) -> Callable[Concatenate[Context, Given], Answer]:
        known: WeakKeyDictionary[_Mark, _Answers[Answer]] = WeakKeyDictionary()

        @functools.wraps(question)
        def ask(context: Context, *given: Given.args, **named: Given.kwargs) -> Answer:
            answers = known.setdefault(context.memory.mark, _Answers(most))
            asked = (given, tuple(sorted(named.items())))
            return answers.get(asked, lambda: question(context, *given, **named))

        return ask

    return keep
