"""What each method trains, as a list of modules: the one source for counting, masking and attaching. Torch-free.

Robotic Steering (arXiv 2511.22697) gives the selected heads low-rank adapters: rows of q_proj, columns of o_proj.
Options add keys and values, the FFN, the state and action projections. `dense_heads` trains the same rows and columns
at full rank. `lora` follows openpi's `gemma_2b_lora` and `gemma_300m_lora`: q, k, v, o and FFN of every layer of both
stacks; `lora_rank_matched` is the same at the rank that comes nearest to the selected set's number of parameters.
Cost: counting needs a policy's configuration only, no weights, and takes a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steering.errors import InputError, unknown_name
from steering.models.checkpoint import Checkpoint
from steering.models.names import HEAD_DIM, RULES, translated
from steering.models.sites import LAYERS, check_heads, head_shape, inert_heads, same_shape
from steering.types import FFN_CHOICES, METHODS, METHODS_OF_HEADS, FinetuneSettings, Head, HeadShape, Selection

FFN = ("gate_proj", "up_proj", "down_proj")
ALL_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", *FFN)
STATE_AND_ACTION = ("state_proj", "action_in_proj", "action_out_proj")
GROUPS = {**dict.fromkeys(FFN, "mlp"), **dict.fromkeys(STATE_AND_ACTION, "projections")}
"""Projection -> the group it is counted in; any other is its own group."""
FULL_BYTES = 4 + 4 + 8 + 4
"""A parameter of a full finetune in single precision: itself, its gradient, Adam's two moments, its old value."""
DEFAULT_DIM = 32  # of states and actions, PI0Config's; a configuration that is saved leaves defaults out

_LAYER = re.compile("(" + "|".join(map(re.escape, LAYERS.values())) + r")\.(\d+)\.(?:self_attn|mlp)\.(\w+)")


@dataclass(frozen=True)
class Sizes:
    """Sizes of a policy's adaptable modules. modules: full name -> (outputs, inputs) of its weight."""

    head_shape: HeadShape
    modules: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Part:
    """A module that trains. rank: of its adapter; None where the weight trains at full rank.

    heads: whose rows (q_proj) or columns (o_proj) alone train, None for the whole module. trained: number of
    trained entries.
    """

    name: str
    rank: int | None
    heads: tuple[int, ...] | None
    trained: int

    @property
    def projection(self) -> str:
        """The last part of the name, e.g. `q_proj`."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def group(self) -> str:
        """What it is counted in: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `mlp` or `projections`."""
        return GROUPS.get(self.projection, self.projection)

    @property
    def site(self) -> tuple[str, int] | None:
        """(stack, layer), None outside both stacks."""
        return _site(self.name)


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

    def frozen_layers(self, shape: HeadShape) -> int:
        """How many of the VLM's first layers lie below everything that can move.

        Queries, output projection and FFN of the VLM's last layer move nothing (`sites.inert_heads`).
        """
        if not self.parts:
            return 0
        moving = [
            site[1]
            for part in self.parts
            if (site := part.site)
            and site[0] == "vlm"
            and (site[1] < shape.layers - 1 or part.projection in ("k_proj", "v_proj"))
        ]
        return min(moving, default=shape.layers)


def plan(method: str, settings: FinetuneSettings, selection: Selection | None, sizes: Sizes) -> Plan:
    """What `method` (a trained one of METHODS) trains on a policy of `sizes`.

    Raises InputError where a method of heads gets none, or only heads that cannot move an action.
    """
    if method not in METHODS or method == "zero_shot":
        raise unknown_name("trainable method", method, [m for m in METHODS if m != "zero_shot"])
    if settings.ffn not in FFN_CHOICES:
        raise unknown_name("choice of FFN layers", settings.ffn, FFN_CHOICES)
    if settings.rank < 1 or settings.alpha <= 0:
        raise InputError(
            f"Expected a rank of at least 1 and a positive alpha; got {settings.rank}, {settings.alpha:g}."
        )
    scale = settings.alpha / settings.rank
    heads = selected_heads(selection, sizes.head_shape) if method in METHODS_OF_HEADS else ()
    if method == "full":
        return Plan(method, (), None, 1.0)
    if method == "lora":
        return Plan(method, tuple(_lora(settings.rank, settings, sizes)), settings.rank, scale)
    if method == "lora_rank_matched":
        return _rank_matched(heads, settings, sizes)
    rank = settings.rank if method == "steering" else None
    parts = tuple(_of_heads(heads, rank, settings, sizes))
    return Plan(method, parts, rank, scale if rank else 1.0, _notices(heads, sizes.head_shape))


def parameter_counts(
    method: str, settings: FinetuneSettings, selection: Selection | None, sizes: Sizes
) -> dict[str, int]:
    """Group -> trainable parameters of a method that trains adapters; see `plan`. `zero_shot` trains none."""
    return {} if method == "zero_shot" else plan(method, settings, selection, sizes).parameters()


def selected_heads(selection: Selection | None, shape: HeadShape) -> tuple[Head, ...]:
    """The selection's heads, sorted, each once. Raises InputError where they cannot train anything."""
    heads = tuple(sorted(set(selection.heads))) if selection is not None else ()
    check_heads(heads, shape)
    if set(heads) <= set(inert_heads(shape)):
        raise InputError(
            "Expected at least one head that can move an action; all selected heads are in the VLM's last layer, "
            "whose output never reaches the action expert. Add heads of another layer."
        )
    return heads


def sizes_of_checkpoint(checkpoint: Checkpoint) -> Sizes:
    """Sizes of a policy before it is loaded: of the headers of its weights where `config.json` names none.

    Raises InputError for families whose tensors have no names here (`steering.models.names`).
    """
    if "vlm_config" in checkpoint.config:
        return sizes_of_config(checkpoint.config)
    if checkpoint.family not in RULES:
        raise InputError(
            f"The sizes of a {checkpoint.family or 'policy without a family'} are not known before it is loaded. "
            f"Choose one of {', '.join(sorted(RULES))}, or name its tensors in steering/models/names.py."
        )
    rules = RULES[checkpoint.family]
    shapes = {translated(name, rules): header.shape for name, header in checkpoint.tensors.items()}
    modules = _adaptable((name.removesuffix(".weight"), shape) for name, shape in shapes.items())
    stacks = []
    for stack in LAYERS:
        layers = {site[1] for name in modules if (site := _site(name)) and site[0] == stack}
        if not layers or module_name(stack, 0, "q_proj") not in modules:
            raise InputError(
                f"Expected the {stack} stack of a {checkpoint.family} in the weights of {checkpoint.source!r}; there "
                "is none. Fetch the whole checkpoint, or choose one such as 'lerobot/pi0_base'."
            )
        dim = HEAD_DIM[checkpoint.family]
        stacks.append(HeadShape(len(layers), modules[module_name(stack, 0, "q_proj")][0] // dim, dim))
    return Sizes(same_shape(*stacks), modules)


def sizes_of_config(config: Any) -> Sizes:
    """Sizes from a π0's configuration in transformers' format: the contents of `config.json`, or a PI0Config."""
    config = _Fields(config)
    modules: dict[str, tuple[int, int]] = {}
    for stack, one in (("vlm", config.vlm_config.text_config), ("expert", config.dit_config)):
        width, mlp = one.hidden_size, one.intermediate_size
        queries, keys = (n * one.head_dim for n in (one.num_attention_heads, one.num_key_value_heads))
        shapes = {"q_proj": (queries, width), "o_proj": (width, queries)}
        shapes |= {"k_proj": (keys, width), "v_proj": (keys, width)}
        shapes |= {"gate_proj": (mlp, width), "up_proj": (mlp, width), "down_proj": (width, mlp)}
        for layer in range(one.num_hidden_layers):
            modules |= {module_name(stack, layer, projection): shape for projection, shape in shapes.items()}
    width = config.dit_config.hidden_size
    state, action = (config.get(name, DEFAULT_DIM) for name in ("max_state_dim", "max_action_dim"))
    modules["embed_action_time.state_proj"] = (width, state)
    modules["embed_action_time.action_in_proj"] = (width, action)
    modules["action_out_proj"] = (action, width)
    return Sizes(head_shape(config), modules)


def sizes_of_model(model: Any) -> Sizes:
    """Sizes from a model's modules, whatever its family."""
    weighted = ((name, module.weight.shape) for name, module in model.named_modules() if hasattr(module, "weight"))
    return Sizes(head_shape(model.config), _adaptable(weighted))


def _adaptable(shapes: Iterable[tuple[str, Sequence[int]]]) -> dict[str, tuple[int, int]]:
    """Of modules with the shapes of their weights, those that a method may train."""
    return {
        name: (shape[0], shape[1])
        for name, shape in shapes
        if len(shape) == 2
        and ((found := _LAYER.fullmatch(name)) and found[3] in ALL_PROJECTIONS or _last(name) in STATE_AND_ACTION)
    }


def module_name(stack: str, layer: int, projection: str) -> str:
    """Full module name of a projection of a layer."""
    return f"{LAYERS[stack]}.{layer}.{'mlp' if projection in FFN else 'self_attn'}.{projection}"


def _lora(rank: int, settings: FinetuneSettings, sizes: Sizes) -> Iterator[Part]:
    for name in sizes.modules:
        if _site(name):
            yield _part(name, rank, sizes)
    if settings.projections:
        yield from _projections(sizes)


def _of_heads(heads: tuple[Head, ...], rank: int | None, settings: FinetuneSettings, sizes: Sizes) -> Iterator[Part]:
    layers: dict[tuple[str, int], list[int]] = {}
    for head in heads:
        layers.setdefault((head.stack, head.layer), []).append(head.head)
    for (stack, layer), chosen in layers.items():
        for projection in ("q_proj", "o_proj"):
            yield _part(module_name(stack, layer, projection), rank, sizes, tuple(chosen))
    if settings.shared_kv:
        for stack, layer in layers:
            for projection in ("k_proj", "v_proj"):
                yield _part(module_name(stack, layer, projection), rank, sizes)
    stacks = {stack for stack, _ in layers}
    for name in sizes.modules:
        site = _site(name)
        if settings.ffn == "none" or site is None or _last(name) not in FFN:
            continue
        if site in layers or (settings.ffn == "all" and site[0] in stacks):
            yield _part(name, rank, sizes)
    if settings.projections:
        yield from _projections(sizes)


def _projections(sizes: Sizes) -> Iterator[Part]:
    """State and action projections, whole and with their biases, as openpi trains them."""
    for name, (outputs, inputs) in sizes.modules.items():
        if _last(name) in STATE_AND_ACTION:
            yield Part(name, None, None, outputs * inputs + outputs)


def _part(name: str, rank: int | None, sizes: Sizes, heads: tuple[int, ...] | None = None) -> Part:
    outputs, inputs = sizes.modules[name]
    if heads is not None:
        width = len(heads) * sizes.head_shape.head_dim
        outputs, inputs = (width, inputs) if _last(name) == "q_proj" else (outputs, width)
    return Part(name, rank, heads, outputs * inputs if rank is None else rank * (outputs + inputs))


def _rank_matched(heads: tuple[Head, ...], settings: FinetuneSettings, sizes: Sizes) -> Plan:
    """LoRA on all heads at the rank whose number of parameters is nearest to the selected set's, at least 1."""
    target = sum(part.trained for part in _of_heads(heads, settings.rank, settings, sizes))
    fixed = sum(part.trained for part in _projections(sizes)) if settings.projections else 0
    of_rank_1 = sum(part.trained for part in _lora(1, settings, sizes)) - fixed
    rank = max(round((target - fixed) / of_rank_1), 1)
    count = rank * of_rank_1 + fixed
    notice = (
        f"Rank {rank} on all heads trains {count:,} parameters, {count / target:.2f} times the {target:,} of the "
        f"selected heads at rank {settings.rank}."
    )
    parts = tuple(_lora(rank, settings, sizes))
    return Plan("lora_rank_matched", parts, rank, settings.alpha / settings.rank, (notice,))


def _notices(heads: tuple[Head, ...], shape: HeadShape) -> tuple[str, ...]:
    inert = len(set(heads) & set(inert_heads(shape)))
    if not inert:
        return ()
    return (f"{inert} of the {len(heads)} selected heads are in the VLM's last layer and cannot move an action.",)


def _site(name: str) -> tuple[str, int] | None:
    found = _LAYER.fullmatch(name)
    return (next(s for s, prefix in LAYERS.items() if prefix == found[1]), int(found[2])) if found else None


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
