"""Calls of a policy for as many scenes as there are, with the bytes of calls of one size.

Matrix products may round differently at other sizes, and physics blows rounding up: a scene would end otherwise beside
others. So every call has `batch_size` rows, filled up with copies, until fewer rows have been seen to give the same
bytes; how a product is summed depends on its shape alone. (On CPUs calls of two rows and more mostly do.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from steering.models.policy import Policy
from steering.rollout.episode import Seen
from steering.types import CAMERAS, Observation

ObservationFilter = Callable[[Observation], Observation]
_FEWEST_ROWS = 2
"""A product of one row is another routine."""


class PolicyCalls:
    """See the module. see: changes what the policy sees."""

    def __init__(self, policy: Policy, batch_size: int, see: ObservationFilter | None = None) -> None:
        self.batch_size = batch_size
        self._policy, self._see = policy, see
        self._alike: set[tuple[int, str]] = set()  # rows, instruction: its length is part of the shape
        self._unlike: set[int] = set()

    def rows(self, scenes: int) -> int:
        """Rows of a call for so many scenes: the next power of two, or `batch_size` where that is known to differ."""
        rows = max(_FEWEST_ROWS, 1 << (scenes - 1).bit_length())
        return self.batch_size if rows >= self.batch_size or rows in self._unlike else rows

    def act(self, seen: Sequence[Seen], noise: Sequence[np.ndarray]) -> np.ndarray:
        """Chunks float32 [scene, step, dim] of at most `batch_size` scenes of one instruction, a draw of noise each."""
        rows, words = self.rows(len(seen)), seen[0].instruction
        if rows == self.batch_size or (rows, words) in self._alike:
            return self._call(seen, noise, rows)
        more = (alike for alike, said in self._alike if said == words and alike > rows)
        chunks = self._call(seen, noise, min(more, default=self.batch_size))
        if np.array_equal(self._call(seen, noise, rows), chunks):
            self._alike.add((rows, words))
        else:
            self._unlike.add(rows)
        return chunks

    def _call(self, seen: Sequence[Seen], noise: Sequence[np.ndarray], rows: int) -> np.ndarray:
        filling = [0] * (rows - len(seen))
        filled = [*seen, *(seen[i] for i in filling)]
        drawn = np.stack([*noise, *(noise[i] for i in filling)])
        observation = Observation(
            cameras={camera: np.stack([one.cameras[camera] for one in filled]) for camera in CAMERAS},
            state=np.stack([one.state for one in filled]),
            instruction=tuple(one.instruction for one in filled),
        )
        observation = self._see(observation) if self._see else observation
        return self._policy.act(observation, drawn.astype(np.float32))[: len(seen)]
