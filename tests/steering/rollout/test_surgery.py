"""Heads changed while scenes run: bytes, the moment, and the control's norm, on the tiny policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from steering.errors import InputError, NotFound
from steering.models.hooks import head_outputs, operated_heads
from steering.models.preprocessing import observe
from steering.rollout.calls import PolicyCalls
from steering.rollout.episode import Seen
from steering.rollout.runner import REPLAN_STEPS, run_rollouts
from steering.simulation.tasks import TASKS
from steering.types import CAMERAS, Head, Surgery

TASK = "press_button"
EXPERT = tuple(Head("expert", layer, head) for layer in range(3) for head in range(4))
PAIR = (Head("vlm", 1, 0), Head("vlm", 1, 3), Head("expert", 0, 1))
OTHERS = (Head("vlm", 1, 1), Head("vlm", 1, 2), Head("expert", 0, 2))


def _noise(rows):
    return np.random.default_rng(0).standard_normal((rows, 4, 8)).astype(np.float32)


def _chunks(policy, demonstrations, surgery, changed):
    episode = demonstrations.episodes[0]
    seen = [
        Seen({c: episode.cameras[c][i] for c in CAMERAS}, episode.state[i], episode.instruction)
        for i in range(len(changed))
    ]
    return PolicyCalls(policy, 4, surgery=surgery).act(seen, list(_noise(len(changed))), changed)


def test_heads_change_in_the_rows_that_are_named_and_nowhere_else(policy, demonstrations):
    some = [True, False, True, False]
    whole = _chunks(policy, demonstrations, None, some)
    for same in (Surgery(EXPERT, 1.0), Surgery(PAIR, 1.0, instead=OTHERS)):
        assert _chunks(policy, demonstrations, same, some).tobytes() == whole.tobytes(), "a factor of 1 changes nothing"
    for surgery in (Surgery(EXPERT), Surgery(PAIR, -1.0), Surgery(PAIR, instead=OTHERS)):
        changed = _chunks(policy, demonstrations, surgery, some)
        assert changed[1::2].tobytes() == whole[1::2].tobytes()
        assert (np.abs(changed[::2] - whole[::2]).max((1, 2)) > 1e-3).all()
    assert _chunks(policy, demonstrations, Surgery(EXPERT), [False] * 4).tobytes() == whole.tobytes()


@pytest.mark.parametrize("factor", [0.0, -1.0, 0.5])
def test_the_control_changes_a_layer_by_the_norm_of_the_heads_that_it_stands_for(policy, demonstrations, factor):
    """In every layer, token and pass: the layer's own change is asked of the outputs before and after the hook."""
    batch = policy.prepare(observe(demonstrations, np.array([0, 1]), np.array([1, 2])))
    start = torch.from_numpy(_noise(2))
    surgery, control = Surgery(PAIR, factor), Surgery(PAIR, factor, instead=OTHERS)
    with torch.inference_mode():
        for layer in {(one.stack, one.layer) for one in PAIR}:  # alone, so that what comes in is what came in before
            own, others = (tuple(h for h in heads if (h.stack, h.layer) == layer) for heads in (PAIR, OTHERS))
            outputs = []
            for one in (None, Surgery(own, factor), Surgery(own, factor, instead=others)):
                read = {}
                projection = policy.model.get_submodule(policy.layout.output(*layer))
                with operated_heads(policy.model, one or Surgery(own, 1.0), [True, True]):
                    hook = projection.register_forward_pre_hook(lambda _, args, read=read: read.update(first=args[0]))
                    cache = policy.prefix(batch)
                    if layer[0] == "expert":
                        policy.velocity(batch, cache, start, torch.ones(2))
                    hook.remove()
                outputs.append(read["first"].unflatten(-1, (4, 8)))
            whole, changed, matched = outputs
            wanted, found = ((one - whole).flatten(2).norm(dim=2) for one in (changed, matched))
            assert wanted.min() > 1e-4
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
            kept = [h for h in range(4) if h not in {one.head for one in others}]
            torch.testing.assert_close(matched[:, :, kept], whole[:, :, kept], rtol=0, atol=0)
    assert (surgery.name, control.name) == ("changed", "control")
    assert Surgery.of(control.plain()) == control


class Watched:
    """The tiny policy with a record of how much each call's heads said."""

    def __init__(self, policy):
        self.model, self.name, self.head_shape = policy.model, policy.name, policy.head_shape
        self.chunk_size, self.noise_dim, self.action_dim = policy.chunk_size, policy.noise_dim, policy.action_dim
        self._policy = policy
        self.silent: list[bool] = []
        self.states: list[bytes] = []

    def act(self, observation, noise):
        inputs = {}
        projection = self.model.get_submodule(self._policy.layout.output("expert", 0))
        hook = projection.register_forward_pre_hook(lambda _, args: inputs.update(heads=args[0]))
        chunk = self._policy.act(observation, noise)
        hook.remove()
        self.silent.append(not inputs["heads"][0].any())
        self.states.append(observation.state[0].tobytes())
        return chunk


@pytest.mark.parametrize("asked", [0, 3])
def test_the_change_begins_at_its_moment(policy, monkeypatch, asked):
    monkeypatch.setattr("steering.rollout.episode.IMAGE_PX", 32)
    monkeypatch.setitem(TASKS, TASK, replace(TASKS[TASK], step_limit=30))
    runs = []
    for surgery in (None, Surgery(EXPERT, 0.0, asked * REPLAN_STEPS)):
        watched = Watched(policy)
        rollouts = run_rollouts(watched, TASK, (1,), method="zero_shot", surgery=surgery, batch_size=1, processes=1)
        runs.append((watched, rollouts))
    (untouched, _), (changed, rollouts) = runs
    assert not any(untouched.silent)
    assert changed.silent == [call >= asked for call in range(len(changed.silent))] and len(changed.silent) > asked + 2
    assert changed.states[: asked + 1] == untouched.states[: asked + 1], "nothing differs before"
    assert changed.states[asked + 1] != untouched.states[asked + 1], "and all after"


@pytest.mark.parametrize("step", [-5, 3, 10_000])
def test_a_moment_at_which_the_policy_is_not_asked_is_refused(policy, step):
    with pytest.raises(InputError, match=r"The policy is asked every 0\.25 s"):
        run_rollouts(policy, TASK, (1,), method="zero_shot", surgery=Surgery(PAIR, from_step=step))
    with pytest.raises(NotFound):
        run_rollouts(policy, "press_buttom", (1,), method="zero_shot", surgery=Surgery(PAIR))


@pytest.mark.parametrize(
    ("surgery", "words"),
    [
        (Surgery(()), "none is selected"),
        (Surgery((Head("vlm", 9, 0),)), "There is no head"),
        (Surgery(PAIR, float("nan")), "finite factor"),
        (Surgery(PAIR, instead=OTHERS[:2]), "Leave the control out"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(policy, surgery, words):
    with pytest.raises(InputError, match=words), operated_heads(policy.model, surgery, [True]):
        pass


def test_hooks_leave_with_the_context(policy, demonstrations):
    _chunks(policy, demonstrations, Surgery(EXPERT), [True, True])
    assert not any(m._forward_pre_hooks for m in policy.model.modules())
    with head_outputs(policy.model) as outputs:
        _chunks(policy, demonstrations, None, [True, True])
    assert outputs["expert", 0].abs().sum() > 0
