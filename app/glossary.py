"""The words of the page and what they mean: every term opens its meaning where it stands, and "?" lists all of them.

`term` of app/views/pieces.html and `term` of the scripts name an entry by its key; measures explain themselves
(`steering.metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steering.metrics import METRICS


@dataclass(frozen=True)
class Term:
    """A word as people read it, and its meaning in a sentence or two."""

    name: str
    meaning: str


_OWN = {
    "head": Term(
        "attention head",
        "A small part of a layer that decides where to look among the tokens and writes a short vector about "
        "what it saw. Every cell of the map is one.",
    ),
    "layer": Term("layer", "A floor of the network. Each reads what the one before wrote; layer 0 comes first."),
    "vlm": Term("VLM", "Vision-language model: the stack of layers that reads the pictures and the instruction."),
    "expert": Term(
        "action expert",
        "The stack of layers that makes the actions, from what the VLM and the joints say.",
    ),
    "token": Term(
        "token",
        "A piece of what the policy reads: a patch of a picture, a word, the joint state, an action.",
    ),
    "last_prefix": Term(
        "last prompt token",
        "The last of the tokens that hold pictures and instruction. It has seen all of them, so what a head "
        "writes there sums up what it read.",
    ),
    "last_word": Term(
        "last word",
        "The token of the instruction's last word, which has seen pictures and instruction.",
    ),
    "state_token": Term("state token", "The token that holds the joint state; in π0 the action expert reads it first."),
    "first_action": Term(
        "first action token",
        "The token of the first action to come, where the action expert writes what to do now.",
    ),
    "action": Term("action", "What the arm is told to do in one step: how to move the hand, and the gripper."),
    "chunk": Term("action chunk", "The next several actions, which the policy predicts at once."),
    "joint_state": Term("joint state", "The angles of the arm's joints and how far the gripper is open."),
    "relevance": Term(
        "relevance",
        "How well what a head says goes with what the demonstrator did, by the measure that is chosen.",
    ),
    "gain": Term(
        "gain over state and time",
        "Of what joint state and time leave open of the action, the share that the head's output explains. 0: nothing "
        "that they do not know already.",
    ),
    "explained_variance": Term(
        "explained variance",
        "The share of how the action varies that a guess gets right: 1 is perfect, 0 as good as always "
        "guessing the mean, below 0 worse than that.",
    ),
    "paper": Term(
        "paper (preset)",
        "The score as published: explained variance at keyframes, over the mean action. What state and time "
        "know is in it.",
    ),
    "default": Term(
        "strict (preset)",
        "Asks only for what joint state and time leave open, every dimension alike, in episodes that took no part in "
        "any choice.",
    ),
    "rank": Term(
        "rank of a head",
        "Its place among the heads of its stack that can move an action; 1 is the most relevant.",
    ),
    "inert": Term(
        "inert",
        "A head that cannot move an action: nothing reads what it writes, so training it would change nothing.",
    ),
    "chance": Term(
        "told from chance",
        "Its score is higher than any head's in nearly all trials in which what heads predict was shuffled between "
        "episodes.",
    ),
    "p": Term(
        "p over all heads",
        "How often chance alone gives the best of all heads a score this high. Below .05 a head is told from chance.",
    ),
    "interval": Term(
        "95 % interval",
        "Where the value would lie in 95 of 100 repetitions with other episodes or scenes. Wide: few data say little.",
    ),
    "unstable": Term("unstable", "In the best set with some episodes and not with others, or with a wide interval."),
    "keyframe": Term(
        "keyframe",
        "The first and last frame, frames where the gripper changes, and where the arm is nearly still.",
    ),
    "phase": Term("phase", "A part of the task: approach, grasp, transport, release."),
    "adapter": Term(
        "adapter",
        "A few numbers added to a frozen policy and trained instead of it. Switched off, the policy is as before.",
    ),
    "adapter_rank": Term(
        "rank of an adapter",
        "How many directions an adapter can change in each part that it adapts: more fit more, and cost more.",
    ),
    "query": Term(
        "queries and outputs",
        "What a head asks of the other tokens, and how it writes its answer into the layer: the two parts of it that "
        "an adapter of its own can change.",
    ),
    "ffn": Term(
        "feed-forward layer",
        "The other half of every layer: it works on each token by itself, without looking at others.",
    ),
    "frozen": Term("frozen", "Not trained: every number stays as it was, to the last bit."),
    "parameter": Term("parameter", "One number of the policy. Training changes some of them, and freezes the rest."),
    "step": Term("step (training)", "One small change of what trains, after looking at one batch."),
    "batch": Term("batch", "How many frames training looks at before each change: more is steadier, and slower."),
    "learning_rate": Term(
        "learning rate",
        "How far each step goes. Too small: nothing is learnt in time; too large: what was known is lost.",
    ),
    "loss": Term("loss", "What training makes small: how far what the policy would do lies from what was done."),
    "lora": Term(
        "LoRA",
        "Low-rank adapters; here on all heads and feed-forward layers, the usual way to finetune cheaply.",
    ),
    "steering": Term("Robotic Steering", "Low-rank adapters on the selected heads alone; all else stays frozen."),
    "zero_shot": Term("zero-shot", "The policy as it is, never shown these demonstrations."),
    "heldout": Term(
        "held-out error",
        "How far predicted actions lie from demonstrated ones, in episodes left out of the training.",
    ),
    "control": Term(
        "control",
        "Heads chosen at random, or the worst, trained in the same way. A rule that does not beat it has "
        "shown nothing.",
    ),
    "demonstration": Term(
        "demonstration",
        "A recording of somebody, or something, doing the task: pictures, joint state and action at every moment.",
    ),
    "episode": Term("episode", "One attempt at the task from beginning to end."),
    "frame": Term("frame", "One moment of an episode: a picture of each camera, the joint state, the action."),
    "scripted": Term("scripted expert", "A program that knows where things are and does the task by fixed rules."),
    "variation": Term(
        "variation",
        "What a scene changes against the usual one, to see what of a task was learnt: its things, colours or places.",
    ),
    "outcome": Term("outcome", "Whether the task was done at the end of an episode, where that is known."),
    "rollout": Term("rollout", "The policy acting in a scene from beginning to end."),
    "scene": Term("scene", "One arrangement of the things on the table. Every method gets the same ones."),
    "seed": Term("seed", "The number from which everything random is drawn: the same seed gives the same scene again."),
    "wilson": Term(
        "Wilson interval",
        "A 95 % interval of a success rate that stays honest with few scenes and near 0 and 100 %.",
    ),
    "paired": Term(
        "paired test (McNemar)",
        "Looks only at scenes in which one method succeeds and the other fails, and asks whether a fair coin "
        "would split them as unevenly.",
    ),
    "holm": Term(
        "Holm",
        "Makes p larger when several differences are tested at once, so that one of them is not luck.",
    ),
    "effect": Term("effect", "The difference of two success rates, in percentage points."),
}
GLOSSARY: Mapping[str, Term] = {**_OWN, **{one.name: Term(one.label, one.meaning) for one in METRICS}}
