"""Find heads as one job: head outputs, their neighbours, the scores that the page shows, attention and intervals.

Every part is stored when it is done, so a job that was stopped, or whose worker died, goes on from the parts it has.
About a minute for 20 demonstrations and the embedded policy on two cores, most of it the capture.
"""

from __future__ import annotations

from steering.pipeline.activations import attention, capture
from steering.pipeline.questions import frames_of
from steering.pipeline.relevance import neighbours, score, trust
from steering.progress import Progress
from steering.store import Store


def find_heads(
    store: Store, *, demonstrations_id: str, policy: str = "embedded", progress: Progress = Progress()
) -> str:
    """Everything that the Heads step opens with. Returns the id of the score that is shown first.

    That is the strict one with its intervals and null, where there are episodes enough and they hold the robot's state;
    else the paper's.
    """
    from steering.relevance.scoring import fitting_preset

    captured = capture(store, demonstrations_id=demonstrations_id, policy=policy, progress=progress.part(0, 0.5))
    presets = tuple(dict.fromkeys((fitting_preset(frames_of(store, captured, False)), "paper")))
    neighbours(store, activations_id=captured, progress=progress.part(0.5, 0.55))  # scores and their trust use them
    scores = []
    for i, preset in enumerate(presets):
        part = progress.part(0.55 + 0.1 * i / len(presets), 0.55 + 0.1 * (i + 1) / len(presets))
        scores.append(score(store, activations_id=captured, preset=preset, progress=part))
    attention(store, demonstrations_id=demonstrations_id, policy=policy, progress=progress.part(0.65, 0.8))
    if presets[0] == "default":
        trust(store, relevance_id=scores[0], progress=progress.part(0.8, 1))
    return scores[0]
