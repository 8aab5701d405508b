"""What others write on top of this library; `mypy` accepts it, here and against the installed wheel."""

import numpy as np
from torch import nn

import steering
from steering.types import Comparison, FinetuneResult, Head, Relevance, Selection


def best_heads(policy: str, demonstrations: str) -> tuple[Head, ...]:
    lens = steering.open(policy, demonstrations)
    scores: steering.Scores = lens.score(target="chunk")
    heads: Selection = scores.top(20)
    with lens.off(heads):
        loss: float = lens.loss()
    adapter: FinetuneResult = lens.finetune(heads, steps=round(300 * loss))
    compared: Comparison = lens.compare(adapter, trials=20)
    return heads.heads if compared.rates[0].rate < 0.5 else ()


def of_any_model(model: nn.Module, action: np.ndarray, episode: np.ndarray) -> Relevance:
    with steering.tap(model, r"o_proj$", token=lambda outputs: outputs.mean(1)) as taken:
        model()
    activations = steering.Activations.from_arrays(taken.outputs(), action, episode)
    return steering.score(activations, "paper").relevance
