"""From a policy and demonstrations to a score per head, by metric; the one entry point of the stage.

Cost and meaning of each metric: `steering.metrics`. Heads are measured on frames evenly spread over all episodes.
"""

from __future__ import annotations

import numpy as np

from steering.attribution import ablation, attention_mass, gradients
from steering.attribution.probe import FRAMES, SAMPLES, over_episodes, probe
from steering.errors import InputError, unknown_name
from steering.metrics import WITH_POLICY
from steering.models.policy import SteerablePolicy
from steering.models.sites import ACTIONS
from steering.models.tokens import names_of_tokens
from steering.progress import Progress
from steering.types import Demonstrations, Relevance

PRESET = "policy"
PREPARING = 0.05
GRADIENT_MEASURES = {
    measure.__name__: measure
    for measure in (gradients.attribution_patching, gradients.integrated_gradients, gradients.gradient_activation)
}


def attribute(
    policy: SteerablePolicy,
    demonstrations: Demonstrations,
    metric: str,
    *,
    frames: int = FRAMES,
    samples: int = SAMPLES,
    seed: int = 0,
    masks: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Relevance:
    """Score every head by one of `metrics.WITH_POLICY`.

    `frames`: how many, evenly spread (`probe.spread_frames`). `samples`: draws of noise and time a frame, by `seed`.
    `masks`: bool [frame, camera, height, width] of those frames, for `attention_mass` alone.
    Raises NotFound for an unknown metric, InputError where masks are missing.
    """
    if metric not in WITH_POLICY:
        raise unknown_name("metric that runs the policy", metric, WITH_POLICY)
    if metric == "attention_mass" and masks is None:
        raise InputError("Attention on the named object needs masks of the objects; see steering.demonstrations.masks.")
    if metric != "attention_mass" and not policy.layout.on(ACTIONS):
        raise InputError(
            f"{policy.name} writes its actions as words and has no flow-matching loss, which this metric measures. "
            "Score its heads by k-NN or ridge, on captured outputs, or by attention on the named object."
        )
    progress = progress or Progress()
    progress.report(0.0, "Preparing frames")
    asked = probe(policy, demonstrations, frames=frames, samples=samples, seed=seed)
    part = progress.part(PREPARING, 1.0)
    baselines, effects, tokens, target = {}, {}, ("all",) * len(policy.head_shape.stacks), "flow-matching loss"
    if metric == "mean_ablation":
        ablated = ablation.mean_ablation(asked, progress=part)
        effect, baselines = ablated.loss_increase, {"loss": float(ablated.loss.mean())}
        effects = {"action_change": ablated.action_change.mean(0, np.float64)}
    elif masks is not None and metric == "attention_mass":
        attention = attention_mass.attention_mass(asked, masks, progress=part)
        effect, target = attention.mass - attention.even_mass, "named things"
        tokens = names_of_tokens(policy, *attention_mass.TOKENS)
        effects = {"mass": attention.mass.mean(0, np.float64), "even_mass": attention.even_mass.mean(0, np.float64)}
    else:
        effect = GRADIENT_MEASURES[metric](asked, progress=part)
    score, effects["standard_error"] = over_episodes(effect, asked.episode)
    shape = policy.head_shape
    return Relevance(
        metric=metric,
        preset=PRESET,
        target=target,
        score=score.astype(np.float32),
        error=np.zeros((0, *shape.grid), np.float32),
        ks=(),
        best_k={},
        cv_mse={},
        baselines=baselines,
        inert=policy.layout.inert,
        stacks=shape.stacks,
        tokens=tokens,
        effects={name: value.astype(np.float32) for name, value in effects.items()},
    )
