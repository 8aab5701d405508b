"""Calls of a policy for as many scenes as there are, with the bytes of calls of one size.

Matrix products may round differently at other sizes, and physics blows rounding up: a scene would end otherwise beside
others. So every call has `batch_size` rows, filled up with copies, until fewer rows have been seen to give the same
bytes; how a product is summed depends on its shape alone. (On CPUs calls of two rows and more mostly do.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from steering.models.policy import Policy
from steering.rollout.episode import Seen
from steering.types import CAMERAS, Observation, Surgery

ObservationFilter = Callable[[Observation], Observation]
_FEWEST_ROWS = 2
"""A product of one row is another routine."""


class PolicyCalls:
    """See the module. see: changes what the policy sees. surgery: what is done to its heads, where `act` says so."""

    def __init__(
        self, policy: Policy, batch_size: int, see: ObservationFilter | None = None, surgery: Surgery | None = None
    ) -> None:
        self.batch_size = batch_size
        self._policy: Any = policy  # of surgery a SteerablePolicy
        self._see, self._surgery = see, surgery
        self._alike: set[tuple[int, str]] = set()  # rows, instruction: its length is part of the shape
        self._unlike: set[int] = set()

    def rows(self, scenes: int) -> int:
        """Rows of a call for so many scenes: the next power of two, or `batch_size` where that is known to differ."""
        rows = max(_FEWEST_ROWS, 1 << (scenes - 1).bit_length())
        return self.batch_size if rows >= self.batch_size or rows in self._unlike else rows

    def act(
        self, seen: Sequence[Seen], noise: Sequence[np.ndarray], changed: Sequence[bool] | None = None
    ) -> np.ndarray:
        """Chunks float32 [scene, step, dim] of at most `batch_size` scenes of one instruction, a draw of noise each.

        changed: in which scenes the surgery has begun; None for none.
        """
        changed = [False] * len(seen) if changed is None else changed
        rows, words = self.rows(len(seen)), seen[0].instruction
        if rows == self.batch_size or (rows, words) in self._alike:
            return self._call(seen, noise, changed, rows)
        more = (alike for alike, said in self._alike if said == words and alike > rows)
        chunks = self._call(seen, noise, changed, min(more, default=self.batch_size))
        if np.array_equal(self._call(seen, noise, changed, rows), chunks):
            self._alike.add((rows, words))
        else:
            self._unlike.add(rows)
        return chunks

    def _call(
        self, seen: Sequence[Seen], noise: Sequence[np.ndarray], changed: Sequence[bool], rows: int
    ) -> np.ndarray:
        filling = [0] * (rows - len(seen))
        filled = [*seen, *(seen[i] for i in filling)]
        drawn = np.stack([*noise, *(noise[i] for i in filling)])
        observation = Observation(
            cameras={camera: np.stack([one.cameras[camera] for one in filled]) for camera in CAMERAS},
            state=np.stack([one.state for one in filled]),
            instruction=tuple(one.instruction for one in filled),
        )
        observation = self._see(observation) if self._see else observation
        with self._operated([*changed, *(changed[i] for i in filling)]):
            chunks: np.ndarray = self._policy.act(observation, drawn.astype(np.float32))[: len(seen)]
        return chunks

    def _operated(self, changed: Sequence[bool]) -> AbstractContextManager[None]:
        if self._surgery is None or not any(changed):
            return nullcontext()
        from steering.models.hooks import operated_heads

        return operated_heads(self._policy.model, self._surgery, changed)
