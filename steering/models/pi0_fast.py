"""π0-FAST (arXiv 2501.09747) as lerobot publishes it (`lerobot/pi0fast-base`, its finetunes): one stack, no expert.

PaliGemma reads pictures, instruction and state (as text) in both directions and writes the actions as words, one after
the other, which look back: "Action: ", the chunk as FAST tokens (`steering.models.fast_tokens`), "|" and the end. So
training is next-word prediction, acting is greedy decoding, and neither has noise or a flow-matching time: what is
drawn of them is not looked at, and measures that ask for a velocity say so. Heads are read at the end of the prompt,
where the first word of the answer is decided. None is inert: the same heads read the prompt and write the answer.
Follows openpi and the paper; weights by lerobot's names. Cost: a pass of the VLM, and one a word when it acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import PaliGemmaConfig, PaliGemmaModel
from transformers.models.pi0.modeling_pi0 import PI0Model

from steering.errors import InputError
from steering.models import lerobot_layout, pi0_checkpoint
from steering.models.checkpoint import Checkpoint
from steering.models.families import Family
from steering.models.fast_tokens import ActionTokens, read_action_tokens
from steering.models.flow import Batch
from steering.models.memory import Placement
from steering.models.names import RULES, translated
from steering.models.pi0 import PaliGemmaPolicy
from steering.models.preprocessing import Statistics
from steering.models.sites import HeadLayout, single_layout
from steering.models.state_in_text import StateInText, settings_of
from steering.models.weights import load_model
from steering.progress import Progress
from steering.types import Observation

KEY_RULES = RULES["pi0_fast"]
ANSWER, END = "Action: ", "|"
NO_VELOCITY = (
    "π0-FAST writes its actions as words and has no velocity. Ask it for actions, or score its heads by k-NN or ridge."
)


@dataclass
class PI0FastConfig:
    """vlm_config: of PaliGemma. max_action_tokens: words of an answer at most. Names as in lerobot's and π0's."""

    vlm_config: Any
    chunk_size: int = 50
    max_state_dim: int = 32
    max_action_dim: int = 32
    max_action_tokens: int = 256
    fast_skip_tokens: int = 128
    num_inference_steps: int = 1
    time_sampling_beta_alpha: float = 1.5
    time_sampling_beta_beta: float = 1.0
    time_sampling_scale: float = 0.999
    time_sampling_offset: float = 0.001
    model_type: str = "pi0_fast"
    _attn_implementation: str = "sdpa"


class _Reading(nn.Module):
    """PaliGemma with π0's way to put pictures and words together."""

    embed_prefix = PI0Model.embed_prefix

    def __init__(self, config: PI0FastConfig) -> None:
        super().__init__()
        self.config = config
        self.vlm = PaliGemmaModel(config.vlm_config)


class PI0FastModel(nn.Module):
    """The modules, at the names that `steering.models.sites` gives the VLM; words come out by the embedding, tied."""

    base_model_prefix = "model"  # PEFT asks for it, since a model of transformers is inside

    def __init__(self, config: PI0FastConfig) -> None:
        super().__init__()
        self.config, self.head_layout = config, layout(config)
        self.model = _Reading(config)

    def set_attn_implementation(self, implementation: str) -> None:
        """`eager`, `sdpa`, or another that transformers knows."""
        self.model.vlm.set_attn_implementation(implementation)
        self.config._attn_implementation = implementation


@dataclass(frozen=True)
class Prompt:
    """What the prompt leaves: cache of keys and values, and its last hidden state [batch, width]."""

    cache: Any
    last: torch.Tensor


@dataclass(frozen=True)
class PI0FastPreprocessor(StateInText):
    """The prompt is "Task: <instruction>, State: <integers>;" and a newline, padded to `max_text_tokens`.

    answer: ids of the words before the actions; end: of those behind. first: the id of FAST token 0, from which they
    count down.
    """

    padded_state: ClassVar[bool] = True
    fast: ActionTokens | None = None
    answer: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    first: int = 0

    def answers(self, actions: torch.Tensor) -> list[list[int]]:
        """Ids of the whole answer for normalised chunks [batch, step, dim]."""
        assert self.fast is not None
        chunks = actions[..., : len(self.statistics.actions_mean)].float().cpu().numpy()
        return [[*self.answer, *(self.first - one for one in self.fast.encode(chunk)), *self.end] for chunk in chunks]


class PI0FastPolicy(PaliGemmaPolicy):
    """See `steering.models.policy.SteerablePolicy`; `denoise` decodes, `flow_loss` is that of the next word."""

    expert_tokens = {}
    preprocessor: PI0FastPreprocessor

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the model's weights."""
        return self._words.weight.dtype

    @property
    def _words(self) -> Any:
        return self.model.model.vlm.get_input_embeddings()

    def prepare(self, observation: Observation, chunk: np.ndarray | None = None) -> Batch:
        """See `SteerablePolicy.prepare`."""
        batch = super().prepare(observation, chunk)
        prompts = self.preprocessor.prompts(observation, batch["pixel_values"].shape[1])
        return batch | {name: tensor.to(self.device) for name, tensor in prompts.items()}

    def prefix(self, batch: Batch) -> Prompt:
        """One pass over the prompt."""
        hidden, cache = self.read(batch)
        last = batch["attention_mask"].sum(-1) - 1
        return Prompt(cache, hidden[torch.arange(len(hidden), device=hidden.device), last])

    def velocity(self, batch: Batch, cache: Any, noisy: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """There is none."""
        raise InputError(NO_VELOCITY)

    def flow_loss(self, batch: Batch, noise: torch.Tensor, timestep: torch.Tensor, cache: Any = None) -> torch.Tensor:
        """Cross-entropy of the answer's words, each from those before it. noise, timestep: not looked at."""
        prompt: Prompt = self.prefix(batch) if cache is None else cache
        rows = self.preprocessor.answers(batch["actions"])
        length = max(map(len, rows))
        ids = torch.tensor([[*row, *[-100] * (length - len(row))] for row in rows], device=self.device)
        hidden = self._write(batch, prompt.cache, ids[:, :-1].clamp(min=0), 0)
        logits = torch.cat([prompt.last[:, None], hidden], 1) @ self._words.weight.T
        return F.cross_entropy(logits.float().flatten(0, 1), ids.flatten())

    def denoise(self, batch: Batch, cache: Any, noise: torch.Tensor, end: float = 0.0) -> torch.Tensor:
        """The likeliest word each time, and what the words say: normalised actions [batch, step, dim]."""
        prompt: Prompt = cache
        read, fast = prompt.cache.get_seq_length(), self.preprocessor.fast
        assert fast is not None
        words = torch.tensor(self.preprocessor.answer, device=self.device).expand(len(prompt.last), -1)
        written = torch.zeros(len(words), 0, dtype=torch.long, device=self.device)
        done = 0
        while written.shape[1] < self.model.config.max_action_tokens:
            logits = self._write(batch, prompt.cache, words, done)[:, -1] @ self._words.weight.T
            done += words.shape[1]
            words = logits.argmax(-1)[:, None]
            written = torch.cat([written, words], 1)
            if (written == self.preprocessor.end[0]).any(1).all():
                break
        prompt.cache.crop(read - prompt.cache.get_seq_length())
        chunks = np.zeros((len(written), self.chunk_size, self.noise_dim), np.float32)
        for chunk, row in zip(chunks, written.tolist(), strict=True):
            row = row[: row.index(self.preprocessor.end[0])] if self.preprocessor.end[0] in row else row
            said = [self.preprocessor.first - word for word in row]
            chunk[:, : self.action_dim] = fast.decode(said, self.chunk_size, self.action_dim)
        return torch.from_numpy(chunks).to(self.device)

    def _write(self, batch: Batch, cache: Any, ids: torch.Tensor, done: int) -> torch.Tensor:
        """Hidden states [batch, word, width] of words behind `done` others, each seeing the prompt and those before."""
        rows, count = ids.shape
        valid = batch["attention_mask"].bool()
        order = torch.arange(count, device=ids.device)
        own = order[:, None] >= torch.arange(-done, count, device=ids.device)
        seen = torch.cat([valid[:, None].expand(-1, count, -1), own.expand(rows, -1, -1)], 2)
        mask = torch.zeros(seen.shape, dtype=self.dtype, device=ids.device).masked_fill(
            ~seen, torch.finfo(self.dtype).min
        )
        hidden: torch.Tensor = self.model.model.vlm.language_model(
            inputs_embeds=self._words(ids),
            attention_mask=mask[:, None],
            position_ids=valid.sum(-1, keepdim=True) + done + order,
            cache=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden


def layout(config: PI0FastConfig) -> HeadLayout:
    """One stack, which reads the prompt and writes the answer."""
    text = config.vlm_config.text_config
    return single_layout((text.num_hidden_layers, text.num_attention_heads, text.head_dim))


def config(checkpoint: Checkpoint) -> PI0FastConfig:
    """Sizes from the weights, since lerobot names only variants."""
    lerobot_layout.check_supported(checkpoint)
    shapes = {translated(name, KEY_RULES): header.shape for name, header in checkpoint.tensors.items()}
    paligemma = PaliGemmaConfig(**pi0_checkpoint.paligemma_sizes(checkpoint, shapes))
    names = ("chunk_size", "max_state_dim", "max_action_dim", "max_action_tokens", "fast_skip_tokens")
    return PI0FastConfig(paligemma, **{name: checkpoint.config[name] for name in names if name in checkpoint.config})


def model(checkpoint: Checkpoint, config: PI0FastConfig, placement: Placement, progress: Progress) -> nn.Module:
    """PI0FastModel with the checkpoint's weights."""
    loaded: Any = load_model(lambda: PI0FastModel(config), checkpoint, placement, KEY_RULES, progress)
    loaded.set_attn_implementation("sdpa")
    return loaded


def preprocessor(
    checkpoint: Checkpoint, config: PI0FastConfig, statistics: Statistics, tokenizer: str | None
) -> PI0FastPreprocessor:
    """PaliGemma's tokenizer as for π0, and FAST's (`action_tokenizer_name`, or the folder `action_tokenizer`)."""
    plain = pi0_checkpoint.preprocessor(checkpoint, config, statistics, tokenizer)  # type: ignore[arg-type]
    words = plain.tokenizer
    end = words(END, add_special_tokens=False)["input_ids"]
    return PI0FastPreprocessor(
        **settings_of(plain, checkpoint.config.get("tokenizer_max_length")),
        fast=read_action_tokens(checkpoint),
        answer=tuple(words(ANSWER, add_special_tokens=False)["input_ids"]),
        end=(*end, words.eos_token_id),
        first=config.vlm_config.text_config.vocab_size - 1 - config.fast_skip_tokens,
    )


FAMILY = Family(PI0FastPolicy, config, model, pi0_checkpoint.statistics, preprocessor, layout)
