"""What each method trains, as a list of modules: the one source for counting, masking and attaching. Torch-free.

Robotic Steering (arXiv 2511.22697) gives the selected heads low-rank adapters: rows of q_proj, columns of o_proj.
Options add keys and values, the FFN, the state and action projections. `dense_heads` trains the same rows and columns
at full rank. `lora` follows openpi's `gemma_2b_lora` and `gemma_300m_lora`: q, k, v, o and FFN of every layer of both
stacks (of a policy with other stacks, of all); `lora_rank_matched` is the same at the rank that comes nearest to the
selected set's number of parameters. Cost: counting needs a policy's configuration only, no weights, and takes a
millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from steering.errors import InputError, unknown_name
from steering.models.checkpoint import Checkpoint
from steering.models.names import HEAD_DIM, RULES, STACKS, translated
from steering.models.sites import (
    ACTIONS,
    LAYERS,
    PROMPT,
    HeadLayout,
    check_heads,
    layout_of,
    pair_layout,
    pair_of,
    single_layout,
)
from steering.types import FFN_CHOICES, METHODS, METHODS_OF_HEADS, FinetuneSettings, Head, HeadShape, Selection

STATE_AND_ACTION = ("state_proj", "action_in_proj", "action_out_proj")
TIME = ("action_time_mlp_in", "action_time_mlp_out", "time_mlp_in", "time_mlp_out")
FULL_BYTES = 4 + 4 + 8 + 4
"""A parameter of a full finetune in single precision: itself, its gradient, Adam's two moments, its old value."""
DEFAULT_DIM = 32  # of states and actions, PI0Config's; a configuration that is saved leaves defaults out

QUERY, OUTPUT = "q_proj", "o_proj"
"""Groups in which the heads' own projections are counted, whatever a family calls them."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a policy's adaptable modules. modules: full name -> (outputs, inputs) of its weight."""

    layout: HeadLayout
    modules: Mapping[str, tuple[int, int]]

    @property
    def head_shape(self) -> HeadShape:
        """The policy's heads."""
        return self.layout.shape


@dataclass(frozen=True)
class Part:
    """A module that trains. rank: of its adapter; None where the weight trains at full rank. of_head: the rank of each
    head's own factors, which lie side by side in the adapter's `rank`; None where heads share them.

    group: what it is counted in: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `mlp`, `projections`, or the module's own
    name. heads: whose rows (group `q_proj`) or columns (`o_proj`) alone train, None for the whole module; units: those
    rows or columns. trained: number of trained entries. site: (stack, layer), None outside all stacks.
    """

    name: str
    rank: int | None
    heads: tuple[int, ...] | None
    trained: int
    group: str
    site: tuple[str, int] | None = None
    units: tuple[int, ...] = ()
    of_head: int | None = None

    @property
    def projection(self) -> str:
        """The last part of the name, e.g. `q_proj`."""
        return _last(self.name)


@dataclass(frozen=True)
class Plan:
    """What a run trains. parts: empty for `full`, which trains every parameter. rank: None without low-rank adapters.

    scale: ΔW is scale · B · A. notices: what the user should know, as sentences.
    """

    method: str
    parts: tuple[Part, ...]
    rank: int | None
    scale: float
    notices: tuple[str, ...] = ()

    def parameters(self) -> dict[str, int]:
        """Group -> trained entries."""
        counts: dict[str, int] = {}
        for part in self.parts:
            counts[part.group] = counts.get(part.group, 0) + part.trained
        return counts

    def frozen_layers(self, layout: HeadLayout) -> int:
        """How many first layers of the first stack on the prompt lie below everything that can move.

        Where its last layer is inert (`HeadLayout.inert`), the queries, output projection and FFN of that move nothing.
        """
        if not self.parts or not layout.on(PROMPT):
            return 0
        prompt = layout.on(PROMPT)[0]
        last = prompt.stack.layers - 1 if prompt.last_layer_inert else prompt.stack.layers
        moving = [
            part.site[1]
            for part in self.parts
            if part.site
            and part.site[0] == prompt.stack.name
            and (part.site[1] < last or part.name in map(partial(prompt.name, part.site[1]), prompt.keys_and_values))
        ]
        return min(moving, default=prompt.stack.layers)


def plan(method: str, settings: FinetuneSettings, selection: Selection | None, sizes: Sizes) -> Plan:
    """What `method` (a trained one of METHODS) trains on a policy of `sizes`.

    Raises InputError where a method of heads gets none, or only heads that cannot move an action.
    """
    if method not in METHODS or method == "zero_shot":
        raise unknown_name("trainable method", method, [m for m in METHODS if m != "zero_shot"])
    if settings.ffn not in FFN_CHOICES:
        raise unknown_name("choice of FFN layers", settings.ffn, FFN_CHOICES)
    ranks = [settings.rank, *([] if settings.expert_rank is None else [settings.expert_rank])]
    if min(ranks) < 1 or settings.alpha <= 0:
        raise InputError(f"Expected a rank of at least 1 and a positive alpha; got {min(ranks)}, {settings.alpha:g}.")
    scale = settings.alpha / settings.rank
    heads = selected_heads(selection, sizes.layout) if method in METHODS_OF_HEADS else ()
    if method == "dense_heads" and settings.head_factors:
        settings = replace(settings, head_factors=False)  # no factors at all
    if method == "full":
        return Plan(method, (), None, 1.0)
    if method == "lora":
        return Plan(method, tuple(_lora(settings.rank, settings, sizes)), settings.rank, scale)
    if method == "lora_rank_matched":
        return _rank_matched(heads, settings, sizes)
    rank = settings.rank if method == "steering" else None
    parts = tuple(_of_heads(heads, rank, settings, sizes))
    return Plan(method, parts, rank, scale if rank else 1.0, _notices(heads, sizes.layout))


def parameter_counts(
    method: str, settings: FinetuneSettings, selection: Selection | None, sizes: Sizes
) -> dict[str, int]:
    """Group -> trainable parameters of a method that trains adapters; see `plan`. `zero_shot` trains none."""
    return {} if method == "zero_shot" else plan(method, settings, selection, sizes).parameters()


def selected_heads(selection: Selection | None, layout: HeadLayout) -> tuple[Head, ...]:
    """The selection's heads, sorted, each once. Raises InputError where they cannot train anything."""
    heads = tuple(sorted(set(selection.heads))) if selection is not None else ()
    check_heads(heads, layout.shape)
    if set(heads) <= set(layout.inert_heads):
        raise InputError(
            "Expected at least one head that can move an action; all selected heads are in the VLM's last layer, "
            "whose output never reaches the action expert. Add heads of another layer."
        )
    return heads


def sizes_of_checkpoint(checkpoint: Checkpoint) -> Sizes:
    """Sizes of a policy before it is loaded: of the headers of its weights where `config.json` names none.

    A family that was registered says where its heads are; that loads torch, which the families known here do not.
    Raises InputError for families whose tensors have no names here (`steering.models.names`).
    """
    if checkpoint.family not in RULES and (own := _registered(checkpoint)):
        return own
    if "vlm_config" in checkpoint.config:
        return sizes_of_config(checkpoint.config)
    if checkpoint.family not in RULES:
        raise InputError(
            f"The sizes of a {checkpoint.family or 'policy without a family'} are not known before it is loaded. "
            f"Choose one of {', '.join(sorted(RULES))}, or name its tensors in steering/models/names.py."
        )
    rules, dim = RULES[checkpoint.family], HEAD_DIM[checkpoint.family]
    shapes = {translated(name, rules): header.shape for name, header in checkpoint.tensors.items()}
    weights = {name.removesuffix(".weight"): shape for name, shape in shapes.items()}
    stacks = []
    for stack, prefix in ((name, LAYERS[name]) for name in STACKS.get(checkpoint.family, tuple(LAYERS))):
        layers = {name.removeprefix(prefix).split(".")[1] for name in weights if name.startswith(f"{prefix}.")}
        queries = weights.get(f"{prefix}.0.self_attn.q_proj")
        if not layers or queries is None:
            raise InputError(
                f"Expected the {stack} stack of a {checkpoint.family} in the weights of {checkpoint.source!r}; there "
                "is none. Fetch the whole checkpoint, or choose one such as 'lerobot/pi0_base'."
            )
        stacks.append((len(layers), queries[0] // dim, dim))
    layout = pair_of(*stacks) if len(stacks) > 1 else single_layout(*stacks)
    return Sizes(layout, _adaptable(weights.items(), layout))


def _registered(checkpoint: Checkpoint) -> Sizes | None:
    """Sizes by a family's own layout, whose modules the file names as the model does; None where π0's is meant."""
    from steering.models.families import FAMILIES

    family = FAMILIES.get(checkpoint.family)
    if family is None or isinstance(family, str) or family.layout is pair_layout:
        return None
    layout = family.layout(family.config(checkpoint))
    shapes = ((name.removesuffix(".weight"), header.shape) for name, header in checkpoint.tensors.items())
    return Sizes(layout, _adaptable(shapes, layout))


def sizes_of_config(config: Any) -> Sizes:
    """Sizes from a π0's configuration in transformers' format: the contents of `config.json`, or a PI0Config."""
    config = _Fields(config)
    layout = pair_layout(config)
    modules: dict[str, tuple[int, int]] = {}
    for sites, one in zip(layout.sites, (config.vlm_config.text_config, config.dit_config), strict=True):
        width, mlp = one.hidden_size, one.intermediate_size
        queries, keys = (n * one.head_dim for n in (one.num_attention_heads, one.num_key_value_heads))
        shapes = {"q_proj": (queries, width), "o_proj": (width, queries)}
        shapes |= {"k_proj": (keys, width), "v_proj": (keys, width)}
        shapes |= {"gate_proj": (mlp, width), "up_proj": (mlp, width), "down_proj": (width, mlp)}
        for layer in range(one.num_hidden_layers):
            modules |= {sites.name(layer, module): shapes[_last(module)] for module in sites.projections}
    width = config.dit_config.hidden_size
    state, action = (config.get(name, DEFAULT_DIM) for name in ("max_state_dim", "max_action_dim"))
    modules["embed_action_time.state_proj"] = (width, state)
    modules["embed_action_time.action_in_proj"] = (width, action)
    modules["embed_action_time.action_time_mlp_in"] = (width, 2 * width)
    modules["embed_action_time.action_time_mlp_out"] = (width, width)
    modules["action_out_proj"] = (action, width)
    return Sizes(layout, modules)


def sizes_of_model(model: Any) -> Sizes:
    """Sizes from a model's modules, whatever its family."""
    weighted = ((name, module.weight.shape) for name, module in model.named_modules() if hasattr(module, "weight"))
    layout = layout_of(model)
    return Sizes(layout, _adaptable(weighted, layout))


def _adaptable(shapes: Iterable[tuple[str, Sequence[int]]], layout: HeadLayout) -> dict[str, tuple[int, int]]:
    """Of modules with the shapes of their weights, those that a method may train."""
    return {
        name: (shape[0], shape[1])
        for name, shape in shapes
        if len(shape) == 2
        and (
            (found := layout.found(name))
            and found[2] in layout[found[0]].projections
            or _last(name) in (*STATE_AND_ACTION, *TIME)
        )
    }


def _lora(rank: int, settings: FinetuneSettings, sizes: Sizes) -> Iterator[Part]:
    for name in sizes.modules:
        found = sizes.layout.found(name)
        if found:
            sites, own = sizes.layout[found[0]], _rank_in(found[0], rank, settings, sizes)
            group = {sites.query: QUERY, sites.output: OUTPUT}.get(found[2]) if sites.keys_and_values else None
            if settings.head_factors and group:
                yield _part(name, own, sizes, tuple(range(sites.stack.heads)), group, own)
            else:
                yield _part(name, own, sizes)
    yield from _whole(settings, sizes)


def _of_heads(heads: tuple[Head, ...], rank: int | None, settings: FinetuneSettings, sizes: Sizes) -> Iterator[Part]:
    layers: dict[tuple[str, int], list[int]] = {}
    for head in heads:
        layers.setdefault((head.stack, head.layer), []).append(head.head)
    for (stack, layer), chosen in layers.items():
        sites, own = sizes.layout[stack], _rank_in(stack, rank, settings, sizes)
        of_head = own if settings.head_factors else None
        yield _part(sites.name(layer, sites.query), own, sizes, tuple(chosen), QUERY, of_head)
        yield _part(sites.name(layer, sites.output), own, sizes, tuple(chosen), OUTPUT, of_head)
    if settings.shared_kv:
        for stack, layer in layers:
            sites = sizes.layout[stack]
            if not sites.keys_and_values:
                raise InputError(
                    f"Keys and values of the {sites.stack.label} are one projection with its queries ({sites.query}), "
                    "so they do not train beside selected heads. Leave them out, or train LoRA on all heads."
                )
            for module in sites.keys_and_values:
                yield _part(sites.name(layer, module), _rank_in(stack, rank, settings, sizes), sizes)
    stacks = {stack for stack, _ in layers}
    for name in sizes.modules:
        found = sizes.layout.found(name)
        if settings.ffn == "none" or found is None or found[2] not in sizes.layout[found[0]].ffn:
            continue
        if found[:2] in layers or (settings.ffn == "all" and found[0] in stacks):
            yield _part(name, _rank_in(found[0], rank, settings, sizes), sizes)
    yield from _whole(settings, sizes)


def _rank_in(stack: str, rank: int | None, settings: FinetuneSettings, sizes: Sizes) -> int | None:
    """The rank in a stack: `expert_rank` where the stack is on the actions and there is one."""
    other = settings.expert_rank if sizes.layout[stack].sequence == ACTIONS else None
    return rank if rank is None or other is None else other


def _whole(settings: FinetuneSettings, sizes: Sizes) -> Iterator[Part]:
    """State and action projections and the time's layers, whole and with their biases, as openpi trains them."""
    chosen = (STATE_AND_ACTION if settings.projections else ()) + (TIME if settings.time_mlp else ())
    for name, (outputs, inputs) in sizes.modules.items():
        if _last(name) in chosen:
            yield Part(name, None, None, outputs * inputs + outputs, "projections")


def _part(
    name: str,
    rank: int | None,
    sizes: Sizes,
    heads: tuple[int, ...] | None = None,
    group: str | None = None,
    of_head: int | None = None,
) -> Part:
    """A module of a layer; heads, and in which group their rows or columns are counted, where they alone train."""
    found = sizes.layout.found(name)
    assert found is not None
    sites, (outputs, inputs) = sizes.layout[found[0]], sizes.modules[name]
    units: tuple[int, ...] = ()
    if heads is not None:
        block = sites.query_rows if group == QUERY else sites.output_columns
        units = tuple(unit for head in heads for unit in range(block(head).start, block(head).stop))
    if of_head is not None and heads is not None:
        wide = inputs if group == QUERY else outputs
        trained = of_head * (len(heads) * wide + len(units))
        return Part(name, of_head * len(heads), heads, trained, group or "", found[:2], units, of_head)
    if heads is not None:
        outputs, inputs = (len(units), inputs) if group == QUERY else (outputs, len(units))
    group = group or ("mlp" if found[2] in sites.ffn else _last(name))
    trained = outputs * inputs if rank is None else rank * (outputs + inputs)
    return Part(name, rank, heads, trained, group, found[:2], units)


def _rank_matched(heads: tuple[Head, ...], settings: FinetuneSettings, sizes: Sizes) -> Plan:
    """LoRA on all heads at the rank whose number of parameters is nearest to the selected set's, at least 1."""
    target = sum(part.trained for part in _of_heads(heads, settings.rank, settings, sizes))
    fixed = sum(part.trained for part in _whole(settings, sizes))
    plain = replace(settings, head_factors=False, expert_rank=None)
    of_rank_1 = sum(part.trained for part in _lora(1, plain, sizes)) - fixed
    rank = max(round((target - fixed) / of_rank_1), 1)
    count = rank * of_rank_1 + fixed
    notice = (
        f"Rank {rank} on all heads trains {count:,} parameters, {count / target:.2f} times the {target:,} of the "
        f"selected heads at rank {settings.rank}."
    )
    parts = tuple(_lora(rank, plain, sizes))
    return Plan("lora_rank_matched", parts, rank, settings.alpha / settings.rank, (notice,))


def _notices(heads: tuple[Head, ...], layout: HeadLayout) -> tuple[str, ...]:
    inert = len(set(heads) & set(layout.inert_heads))
    if not inert:
        return ()
    return (f"{inert} of the {len(heads)} selected heads are in the VLM's last layer and cannot move an action.",)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


class _Fields:
    """The fields of a configuration object, or of the mapping that its JSON holds, by name."""

    def __init__(self, config: Any) -> None:
        self._config = config

    def __getattr__(self, name: str) -> Any:
        config = self._config
        try:
            value = config[name] if isinstance(config, Mapping) else getattr(config, name)
        except (KeyError, AttributeError):
            raise InputError(
                f"Expected the configuration of a π0; it has no {name!r}. Choose another policy."
            ) from None
        nested = isinstance(value, Mapping) or name.endswith("_config")
        return _Fields(value) if nested else value

    def get(self, name: str, default: Any) -> Any:
        """The field, or `default` where it stands nowhere."""
        config = self._config
        return config.get(name, default) if isinstance(config, Mapping) else getattr(config, name, default)
