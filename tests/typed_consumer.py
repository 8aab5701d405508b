"""What others write on top of this library; `mypy` accepts it, here and against the installed wheel."""

import numpy as np
from torch import nn

import steering
from steering import pipeline
from steering.cluster import Cluster
from steering.errors import InputError
from steering.finetune.adapters import HeadLoraConfig, add_head_lora
from steering.progress import Progress
from steering.store import Store
from steering.types import Comparison, FinetuneResult, FinetuneSettings, Head, Relevance, Selection


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


def kept_in_a_store(folder: str) -> Comparison:
    store = Store(folder)
    demonstrations: str = pipeline.record(store, task="press_button", count=20, seed=1)
    activations = pipeline.capture(store, demonstrations_id=demonstrations, cluster=Cluster(workers=2))
    relevance = pipeline.score(store, activations_id=activations, preset="default", progress=Progress(print))
    chosen = pipeline.select(store, relevance_id=relevance, count=20, stacks=("vlm",))
    trained = pipeline.finetune(
        store,
        demonstrations_id=demonstrations,
        method="steering",
        selection_id=chosen,
        settings=FinetuneSettings(steps=300),
    )
    compared = pipeline.evaluate(store, task="press_button", adapters={"zero_shot": None, "steering": trained})
    found = store.load(compared)
    assert isinstance(found, Comparison)
    return found


def chosen_heads_of_any_model(model: nn.Module) -> nn.Module:
    config = HeadLoraConfig(heads={"layers.2.q_proj": [0, 5], "layers.2.o_proj": None}, rank=8, alpha=16)
    try:
        adapted: nn.Module = add_head_lora(model, config, seed=0)
    except InputError as error:
        raise SystemExit(str(error)) from error
    return adapted
