"""Every measure of a head's relevance: its name, what it means in a sentence, its formula and its cost.

A contract: the page, the command line and the stages read the same list. Notation: z_h is a head's output (the vector
before the output projection) at every token of a frame, z̄_h its mean over frames, L the flow-matching loss of a
frame, ⟨·⟩ the mean over frames, g = ∂L/∂z_h.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One measure. `score` is always higher for more relevant heads.

    label: short name for people. meaning: one plain sentence. formula: of the score. cost: on the embedded policy,
    20 demonstrations, two cores. needs: `activations` (cached head outputs are enough), `policy` (the model runs) or
    `simulator` (the model runs, and the scenes are rendered again). zero: what a score of 0 means. unit: of the score.
    source: where it comes from. effects: what `Relevance.effects` holds besides, name -> meaning.
    """

    name: str
    label: str
    meaning: str
    formula: str
    cost: str
    needs: str
    zero: str
    unit: str
    source: str
    effects: Mapping[str, str]


_LOSS = "flow-matching loss"
_ERROR = {"standard_error": "standard error of the score, whole episodes as the unit"}
_AS_GOOD = "the loss would be the same without what the head says about the frame"

METRICS: tuple[Metric, ...] = (
    Metric(
        "knn",
        "k-NN",
        "Frames in which the head says similar things are frames in which the demonstrator did similar things.",
        "1 − ⟨‖a − â_h‖²⟩ / ⟨‖a − â_baseline‖²⟩, with â_h the mean action of the k nearest frames of other episodes by "
        "cosine distance of z_h, weighted by 1 / distance",
        "under 1 s from cached activations",
        "activations",
        "no better than the baseline of the preset",
        "explained variance",
        "Mitra et al., Robotic Steering, arXiv 2511.22697",
        {},
    ),
    Metric(
        "ridge",
        "Linear probe",
        "The demonstrated action can be read off the head's output by a linear map.",
        "1 − ⟨‖a − W_h z_h‖²⟩ / ⟨‖a − â_baseline‖²⟩, with W_h fitted by ridge regression on the other episodes",
        "under 1 s from cached activations",
        "activations",
        "no better than the baseline of the preset",
        "explained variance",
        "after the probes of Li et al., Inference-Time Intervention, arXiv 2306.03341",
        {},
    ),
    Metric(
        "mean_ablation",
        "Mean ablation",
        "The policy predicts worse when the head says the same in every frame: its true causal effect.",
        "⟨L(z_h := z̄_h) − L⟩, with z̄_h the mean over frames at the same token",
        "about 50 s for 64 frames: every head is switched to its mean in turn",
        "policy",
        _AS_GOOD,
        _LOSS,
        "Wang et al., Interpretability in the Wild, arXiv 2211.00593, section 2",
        {
            **_ERROR,
            "action_change": "root mean square change of the predicted action chunk, in standard deviations",
        },
    ),
    Metric(
        "attribution_patching",
        "Attribution patching",
        "What mean ablation would do to the loss, estimated for all heads at once from one backward pass.",
        "⟨g · (z̄_h − z_h)⟩",
        "about 1 s for 64 frames",
        "policy",
        _AS_GOOD,
        _LOSS,
        "Nanda, Attribution Patching, 2023; Syed et al., arXiv 2310.10348",
        _ERROR,
    ),
    Metric(
        "integrated_gradients",
        "Integrated gradients",
        "How much of the loss the head's layer accounts for by moving from its mean to what it really says, credited "
        "to each head along the way.",
        "⟨∫₀¹ (z̄_h − z_h) · g(z̄ + α (z − z̄)) dα⟩, all heads of a layer moving together",
        "about 30 s for 64 frames and 8 steps: a layer at a time",
        "policy",
        _AS_GOOD,
        _LOSS,
        "Sundararajan et al., Axiomatic Attribution for Deep Networks, arXiv 1703.01365; through captum",
        _ERROR,
    ),
    Metric(
        "gradient_activation",
        "Gradient × activation",
        "The loss reacts strongly when the head is turned up or down a little.",
        "⟨|g · z_h|⟩",
        "about 1 s for 64 frames",
        "policy",
        "the loss does not react to the head",
        _LOSS,
        "Michel et al., Are Sixteen Heads Really Better than One?, arXiv 1905.10650, section 4.1; through captum",
        _ERROR,
    ),
    Metric(
        "attention_mass",
        "Attention on the named object",
        "The head looks at the things that the instruction names, more than their size in the image explains.",
        "⟨Σ_p w_p c_p − Σ_p w_p c̄⟩, with w_p the attention to image patch p, c_p the share of the patch that the named "
        "things cover and c̄ its mean over patches",
        "about 10 s for 64 frames, most of it to replay the scenes",
        "simulator",
        "as much on the things as even attention over the same images would be",
        "share of attention",
        "after Voita et al., arXiv 1905.09418 (heads by what they look at); segmentation from the simulator",
        {
            **_ERROR,
            "mass": "attention on the named things",
            "even_mass": "what even attention over the patches would put there",
        },
    ),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
FROM_ACTIVATIONS = tuple(metric.name for metric in METRICS if metric.needs == "activations")
WITH_POLICY = tuple(metric.name for metric in METRICS if metric.needs != "activations")
PRESETS: Mapping[str, str] = {"paper": "mean_action", "default": "state_time"}
"""Preset of a score from head outputs -> the baseline that a score of 0 equals."""
KS = (10, 20, 30, 40)
"""The paper's numbers of neighbours."""
