"""What each method trains, counted from the configuration alone, against the model with everything attached."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path

import pytest

from steering.errors import InputError, NotFound
from steering.finetune import evaluation, frames, schedule, training, trying
from steering.finetune.attaching import attached
from steering.finetune.parameters import trainable_parameters
from steering.finetune.plan import (
    DEFAULT_DIM,
    FULL_BYTES,
    Sizes,
    parameter_counts,
    plan,
    selected_heads,
    sizes_of_checkpoint,
    sizes_of_config,
    sizes_of_model,
)
from steering.finetune.presets import PRESETS, preset
from steering.models.checkpoint import Checkpoint, TensorHeader, open_checkpoint
from steering.models.sites import ACTIONS, HeadLayout
from steering.pipeline import trainable_parameters as counted_by_name
from steering.types import METHODS, FinetuneSettings, Head, HeadShape, Selection, Stack

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
    sizes = sizes_of_model(policy.model)
    for inert in (sizes.layout.inert_heads, sizes.layout.inert_heads[:1]):
        with pytest.raises(InputError, match="at least one head that can move an action"):
            plan("steering", FinetuneSettings(), Selection(tuple(inert), "hand"), sizes)


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


def test_the_numbers_of_the_recipes_and_of_the_loop():
    """Each moves results that are published: a change of one is made here too."""
    assert training.BETAS == (0.9, 0.95) and training.CLIP_NORM == 1.0 and schedule.FINAL_LEARNING_RATE == 0.1
    assert (evaluation.HELDOUT_FRAMES, frames.FREEZING_PASSES, DEFAULT_DIM, FULL_BYTES) == (32, 2, 32, 20)
    for name in ("release", "openpi_lora"):
        found = preset(name)
        assert found.head_factors and found.projections and found.time_mlp and found.steps == 3000
        assert (found.batch_size, found.learning_rate, found.warmup_steps, found.noise_samples) == (32, 2.5e-5, 200, 1)
    assert preset("release").expert_rank is None and preset("release").ffn == "all"
    assert preset("openpi_lora").expert_rank == 32 and preset("openpi_lora").ffn == "none"
    assert not preset("paper").head_factors and not preset("paper").projections and not preset("paper").time_mlp
    assert inspect.signature(evaluation.heldout_frames).parameters["frozen_layers"].default == 0
    assert inspect.signature(frames.frame_set).parameters["frozen_layers"].default == 0
    assert frames.FrameSet.frozen_layers == 0 and trying.Trying.heldout_frames == 96
    assert inspect.signature(trying.Trying.heads).parameters["with_change"].default is False


def _headers(family, stacks):
    """A checkpoint of `family` whose weights are headers alone. stacks: name -> layers, heads, width."""
    prefixes = {"vlm": "model.vlm.language_model", "expert": "model.dit"}
    shapes = {}
    for name, (layers, heads, width) in stacks.items():
        for layer in range(layers):
            place = f"{prefixes[name]}.layers.{layer}.self_attn"
            shapes[f"{place}.q_proj.weight"] = (heads * 256, width)
            shapes[f"{place}.o_proj.weight"] = (width, heads * 256)
            shapes[f"{place}.q_norm.weight"] = (256,)
    tensors = {name: TensorHeader("F32", shape) for name, shape in shapes.items()}
    return Checkpoint("made/up", Path(), {"type": family}, tensors, ())


def test_sizes_of_one_stack_and_of_two_are_read_from_headers():
    one = sizes_of_checkpoint(_headers("pi0_fast", {"vlm": (3, 4, 40)}))
    assert one.head_shape == HeadShape((Stack("vlm", 3, 4, 256),)) and len(one.modules) == 6
    two = sizes_of_checkpoint(_headers("pi0", {"vlm": (2, 4, 40), "expert": (2, 3, 24)}))
    assert two.head_shape == HeadShape((Stack("vlm", 2, 4, 256), Stack("expert", 2, 3, 256)))
    assert two.modules["model.dit.layers.1.self_attn.o_proj"] == (24, 768) and len(two.modules) == 8
    for family, stacks in (("pi0_fast", {}), ("pi0", {"vlm": (2, 4, 40)})):
        with pytest.raises(InputError, match="Fetch the whole checkpoint"):
            sizes_of_checkpoint(_headers(family, stacks))


def test_parts_of_every_method_by_hand(policy):
    """Widths 32 and 24, four heads of 8, feed-forward layers of 48 and 40, one key head; states and actions of 8."""
    sizes = sizes_of_model(policy.model)

    def counted(method, **options):
        return plan(method, FinetuneSettings(rank=2, **options), SELECTION, sizes).parameters()

    heads = {"q_proj": 2 * (16 + 32) + 2 * (8 + 24), "o_proj": 2 * (32 + 16) + 2 * (24 + 8)}
    assert counted("steering") == heads
    keys = 2 * (8 + 32) + 2 * (8 + 24)
    assert counted("steering", shared_kv=True) == heads | {"k_proj": keys, "v_proj": keys}
    assert counted("steering", ffn="selected") == heads | {"mlp": 3 * 2 * (48 + 32) + 3 * 2 * (40 + 24)}
    assert counted("steering", ffn="all") == heads | {"mlp": 3 * (3 * 2 * (48 + 32) + 3 * 2 * (40 + 24))}
    own = {"q_proj": 2 * (2 * 32 + 16) + 2 * (24 + 8), "o_proj": 2 * (2 * 32 + 16) + 2 * (24 + 8)}
    assert counted("steering", head_factors=True) == own
    dense = {"q_proj": 16 * 32 + 8 * 24, "o_proj": 16 * 32 + 8 * 24}
    assert counted("dense_heads") == counted("dense_heads", head_factors=True) == dense
    assert counted("dense_heads", ffn="selected") == dense | {"mlp": 3 * 48 * 32 + 3 * 40 * 24}
    expert = {"q_proj": 2 * (16 + 32) + 5 * (8 + 24), "o_proj": 2 * (32 + 16) + 5 * (24 + 8)}
    assert counted("steering", expert_rank=5) == expert
    lora = counted("lora", expert_rank=5)
    assert lora["q_proj"] == lora["o_proj"] == 3 * (2 * (32 + 32) + 5 * (32 + 24))
    assert lora["k_proj"] == lora["v_proj"] == 3 * (2 * (8 + 32) + 5 * (8 + 24))
    factors = counted("lora", head_factors=True)
    assert factors["q_proj"] == factors["o_proj"] == 3 * (2 * (4 * 32 + 32) + 2 * (4 * 24 + 32))
    assert factors["k_proj"] == counted("lora")["k_proj"]
    whole = counted("steering", projections=True)["projections"]
    assert whole == (24 * 8 + 24) + (24 * 8 + 24) + (8 * 24 + 8)
    assert counted("steering", time_mlp=True)["projections"] == (24 * 48 + 24) + (24 * 24 + 24)


def test_scales_ranks_and_their_bounds(policy):
    sizes = sizes_of_model(policy.model)
    assert plan("steering", FinetuneSettings(rank=1, alpha=3), SELECTION, sizes).scale == 3
    dense = plan("dense_heads", FinetuneSettings(rank=2, alpha=8), SELECTION, sizes)
    assert (dense.rank, dense.scale, dense.notices) == (None, 1.0, ())
    full = plan("full", FinetuneSettings(alpha=8), None, sizes)
    assert (full.parts, full.rank, full.scale) == ((), None, 1.0)
    lora = plan("lora", FinetuneSettings(rank=2, alpha=8), None, sizes)
    assert (lora.rank, lora.scale) == (2, 4)
    small = plan("lora_rank_matched", FinetuneSettings(rank=1), Selection(HEADS[:1], "hand"), sizes)
    assert small.rank == 1  # never 0
    for wrong in ({"rank": 0}, {"expert_rank": 0}, {"alpha": 0}):
        with pytest.raises(InputError, match="rank of at least 1 and a positive alpha"):
            plan("lora", FinetuneSettings(**wrong), None, sizes)
    assert plan("lora", FinetuneSettings(expert_rank=1), None, sizes).rank == 16
    twice = Selection((*HEADS, HEADS[0]), "hand")
    assert selected_heads(twice, sizes.layout) == tuple(sorted(HEADS))


def test_rank_matched_counts_what_trains_whole_once(policy):
    sizes = sizes_of_model(policy.model)
    settings = FinetuneSettings(rank=64, alpha=32, projections=True, expert_rank=8, head_factors=True)
    target = sum(plan("steering", settings, SELECTION, sizes).parameters().values())
    chosen = plan("lora_rank_matched", settings, SELECTION, sizes)
    plain = dataclasses.replace(settings, expert_rank=None, head_factors=False)
    of_rank = [
        sum(plan("lora", dataclasses.replace(plain, rank=r), None, sizes).parameters().values()) for r in range(1, 20)
    ]
    nearest = min(range(19), key=lambda i: abs(of_rank[i] - target)) + 1
    assert chosen.rank == nearest > 1 and chosen.scale == 0.5
    said = (
        f"trains {of_rank[nearest - 1]:,} parameters, {of_rank[nearest - 1] / target:.2f} times the {target:,} of the"
    )
    assert said in chosen.notices[0] and "at rank 64" in chosen.notices[0]


def test_a_checkpoints_configuration_may_leave_its_dimensions_out(policy):
    config = policy.model.config.to_dict()
    for name in ("max_state_dim", "max_action_dim"):
        config.pop(name, None)
    modules = sizes_of_config(config).modules
    assert modules["embed_action_time.state_proj"] == modules["embed_action_time.action_in_proj"] == (24, 32)
    assert modules["action_out_proj"] == (32, 24) and modules["embed_action_time.action_time_mlp_in"] == (24, 48)


def test_a_policy_without_a_stack_on_the_prompt_freezes_nothing(policy):
    sizes = sizes_of_model(policy.model)
    layout = HeadLayout(tuple(dataclasses.replace(one, sequence=ACTIONS) for one in sizes.layout.sites))
    assert plan("steering", FinetuneSettings(), SELECTION, sizes).frozen_layers(layout) == 0
    whole = HeadLayout(tuple(dataclasses.replace(one, last_layer_inert=False) for one in sizes.layout.sites))
    inert = Selection((Head("vlm", 2, 0), Head("expert", 0, 0)), "hand")
    assert plan("steering", FinetuneSettings(), inert, Sizes(whole, sizes.modules)).frozen_layers(whole) == 2
