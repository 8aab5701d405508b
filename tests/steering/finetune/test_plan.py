"""What each method trains, counted from the configuration alone, against the model with everything attached."""

from __future__ import annotations

import dataclasses
import json

import pytest

from steering.errors import InputError, NotFound
from steering.finetune.attaching import attached
from steering.finetune.parameters import trainable_parameters
from steering.finetune.plan import parameter_counts, plan, sizes_of_config, sizes_of_model
from steering.finetune.presets import PRESETS, preset
from steering.models.checkpoint import open_checkpoint
from steering.pipeline import trainable_parameters as counted_by_name
from steering.types import METHODS, FinetuneSettings, Head, Selection

HEADS = (Head("vlm", 0, 1), Head("vlm", 0, 3), Head("expert", 1, 2))
SELECTION = Selection(HEADS, "hand")
OPTIONS = (
    {},
    {"shared_kv": True},
    {"ffn": "selected"},
    {"ffn": "all", "projections": True},
    {"shared_kv": True, "ffn": "selected", "projections": True},
)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("zero_shot", "full")])
def test_counts_from_the_configuration_are_those_of_the_model(policy, policy_folder, method, options):
    settings = FinetuneSettings(rank=2, **options)
    config = json.loads((policy_folder / "config.json").read_text())
    counted = parameter_counts(method, settings, SELECTION, sizes_of_config(config))
    chosen = plan(method, settings, SELECTION, sizes_of_model(policy.model))
    with attached(policy, method, settings, SELECTION) as (_, masks):
        assert counted == trainable_parameters(policy.model, masks, chosen)
    assert counted == counted_by_name(method, heads=HEADS, settings=settings, policy=str(policy_folder))


def test_full_counts_every_parameter(policy, policy_folder):
    chosen = plan("full", FinetuneSettings(), None, sizes_of_model(policy.model))
    with attached(policy, "full", FinetuneSettings(), None) as (_, masks):
        counts = trainable_parameters(policy.model, masks, chosen)
    assert counts == {"all": sum(p.numel() for p in policy.model.parameters())}
    assert counts == counted_by_name("full", policy=str(policy_folder))


def test_sizes_of_config_and_model_agree(policy):
    assert sizes_of_config(policy.model.config) == sizes_of_model(policy.model)


def test_rank_matched_is_the_nearest_rank(policy):
    sizes = sizes_of_model(policy.model)
    for rank in (2, 16, 64, 200):
        settings = FinetuneSettings(rank=rank, alpha=2.0 * rank)
        target = sum(parameter_counts("steering", settings, SELECTION, sizes).values())
        of_rank = [
            sum(parameter_counts("lora", dataclasses.replace(settings, rank=r), None, sizes).values())
            for r in range(1, 40)
        ]
        nearest = min(range(39), key=lambda i: abs(of_rank[i] - target)) + 1
        chosen = plan("lora_rank_matched", settings, SELECTION, sizes)
        assert chosen.rank == nearest and chosen.scale == 2.0
        assert sum(chosen.parameters().values()) == of_rank[nearest - 1]
        assert f"Rank {nearest} " in chosen.notices[0]


def test_twenty_heads_train_at_most_a_seventh_of_lora():
    sizes = sizes_of_config(open_checkpoint("embedded").config)
    spread = tuple(Head("vlm", layer, head) for layer in range(7) for head in range(3))[:20]
    for stack in ("vlm", "expert"):
        heads = Selection(tuple(Head(stack, h.layer, h.head) for h in spread), "hand")
        ours = parameter_counts("steering", FinetuneSettings(), heads, sizes)
        lora = parameter_counts("lora", FinetuneSettings(), None, sizes)
        assert 7 * sum(ours.values()) <= sum(lora.values())


def test_layers_below_everything_that_moves_are_frozen(policy):
    sizes = sizes_of_model(policy.model)

    def frozen(*heads, method="steering", **options):
        return plan(method, FinetuneSettings(**options), Selection(heads, "hand"), sizes).frozen_layers(sizes.layout)

    expert, inert = Head("expert", 0, 0), Head("vlm", 2, 0)
    assert frozen(expert, method="lora") == frozen(expert, method="full") == 0
    assert frozen(Head("vlm", 1, 0), inert, expert) == 1
    assert frozen(expert) == frozen(expert, inert) == 3
    assert frozen(expert, inert, shared_kv=True) == 2
    assert frozen(Head("vlm", 1, 0), ffn="all") == 0


def test_inert_heads_are_said(policy):
    heads = Selection((Head("vlm", 2, 0), Head("vlm", 0, 0)), "hand")
    notices = plan("steering", FinetuneSettings(), heads, sizes_of_model(policy.model)).notices
    assert notices == ("1 of the 2 selected heads are in the VLM's last layer and cannot move an action.",)


def test_the_papers_recipe():
    settings = preset("paper")
    assert (settings.steps, settings.batch_size, settings.learning_rate, settings.warmup_steps) == (
        3000,
        32,
        2.5e-5,
        200,
    )
    assert settings.noise_samples == 1 and settings.ffn == "none" and preset("paper_ffn").ffn == "all"
    assert PRESETS["default"] == FinetuneSettings()
    with pytest.raises(NotFound, match="paper"):
        preset("papers")


def test_wrong_choices_are_said(policy):
    sizes = sizes_of_model(policy.model)
    with pytest.raises(NotFound, match="selected"):
        plan("steering", FinetuneSettings(ffn="select"), SELECTION, sizes)
    with pytest.raises(NotFound, match="dense_heads"):
        plan("dense_head", FinetuneSettings(), SELECTION, sizes)
    with pytest.raises(InputError, match="rank of at least 1"):
        plan("lora", FinetuneSettings(rank=0), None, sizes)
    with pytest.raises(InputError, match="at least one attention head"):
        plan("lora_rank_matched", FinetuneSettings(), None, sizes)
    with pytest.raises(InputError, match="of a π0"):
        sizes_of_config({"model_type": "other"})
