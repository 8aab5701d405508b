"""Checks of numbers: frames, states, actions, instructions, rates and normalisation. Each gives problems, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from steering.demonstrations.offsets import action_offset, follows_state
from steering.demonstrations.picture_checks import cameras, orientation
from steering.demonstrations.sampling import Problem, Sample
from steering.demonstrations.statistics import PolicyStatistics
from steering.types import IMITATED, failures_words

FEW_EPISODES = 5
MOST_NEIGHBOURS = 40  # the paper's largest k
IDLE_S = 1.0
IDLE_SHARE = 0.25
CLIPPED_SHARE = 0.05
STILL = 1e-9
FAR_MEAN = 3.0  # policy standard deviations
PADDING = 1e-2  # spread of a dimension that is padding
FAR_SPREAD = 5.0  # ratio of standard deviations
Check = Callable[[Sample, PolicyStatistics | None], Iterator[Problem]]


def _frames(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    lengths = [episode.frames for episode in sample.dataset.episodes]
    if not lengths:
        yield Problem("error", "no_episodes", "The dataset has no episodes.", "There is nothing to score.")
        return
    short = tuple(i for i, frames in enumerate(lengths) if frames < 2)
    if len(short) == len(lengths):
        yield Problem("error", "no_frames", "No episode has two frames or more.", "There is nothing to score.")
    elif short:
        words = f"{_episodes(short)} {'has' if len(short) == 1 else 'have'} fewer than two frames."
        yield Problem("warning", "short", words, "Nothing can be learned from them; leave them out.", short)
    if len(lengths) == 1:
        yield Problem(
            "warning",
            "one_episode",
            "There is one episode.",
            "Scores are then of frames far apart in the same episode, not of a new one; record several.",
        )
    elif len(lengths) < FEW_EPISODES:
        yield Problem(
            "warning",
            "few_episodes",
            f"There are {len(lengths)} episodes.",
            "Leave-one-episode-out scores of so few are unstable: look at rank intervals, or record 10 to 20.",
        )
    others = sum(lengths) - max(lengths)
    if len(lengths) > 1 and others < MOST_NEIGHBOURS:
        words = f"Without the longest episode {others} frames are left."
        meaning = (
            f"The paper's k-NN compares with up to {MOST_NEIGHBOURS}; a smaller k is taken, and scores say little. "
            "Bring more frames."
        )
        yield Problem("warning", "few_frames", words, meaning)


def _mapped(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    for what, columns in (("state", sample.mapping.state), ("action", sample.mapping.action)):
        if not columns:
            yield Problem(
                "error",
                f"no_{what}",
                f"No column is mapped as the {what}.",
                "The target of every score is the action, and the state is its baseline; map the columns.",
            )
    names = [one.feature for one in (*sample.mapping.state, *sample.mapping.action)]
    if unknown := sorted({name for name in names if name not in sample.dataset.features}):
        words = f"The mapping names {', '.join(unknown)}, which the dataset does not have."
        yield Problem("error", "unknown_columns", words, "Correct the mapping.")


def _readable(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    unreadable = dict(sorted({**sample.dataset.absent, **sample.unreadable}.items()))
    if unreadable:
        first = next(iter(unreadable.values()))
        broken = tuple(unreadable)
        severity = "warning" if set(sample.episodes) - set(unreadable) else "error"
        words = f"{_episodes(broken)} cannot be read. {first}"
        yield Problem(severity, "unreadable", words, "These cannot be scored; skip them to import the others.", broken)
    odd = tuple(i for i, e in sample.episodes.items() if (e.state.shape[1], e.action.shape[1]) != sample.dims)
    if odd:
        words = f"{_episodes(odd)} have other numbers of state or action columns than the first."
        yield Problem("warning", "shapes", words, "One policy takes one size; import them apart.", odd)


def _finite(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    for what in ("state", "action"):
        arrays = {i: getattr(e, what) for i, e in sample.episodes.items()}
        broken = tuple(i for i, values in arrays.items() if not np.isfinite(values).all())
        if broken:
            count = sum(int((~np.isfinite(arrays[i])).sum()) for i in broken)
            severity = "error" if len(broken) == len(arrays) else "warning"
            words = f"The {what} of {_episodes(broken)} holds NaN or infinity {count} times."
            meaning = "One such number makes every distance and error with it NaN; leave these episodes out."
            yield Problem(severity, "nan", words, meaning, broken)


def _actions(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    episodes = sample.alike
    if not episodes or not sample.dims[1]:
        return
    action = np.concatenate([e.action for e in episodes.values()])
    still = np.flatnonzero(np.ptp(action, axis=0) <= STILL)
    if len(still) == action.shape[1]:
        yield Problem(
            "error",
            "frozen_actions",
            "No action ever changes.",
            "Every head predicts a constant perfectly, so none is relevant; check which column is the action.",
        )
        return
    if len(still):
        words = f"Action {_list(still)} never change{'s' if len(still) == 1 else ''}."
        meaning = "It adds nothing to any score; normalised scores leave it out."
        yield Problem("note", "still_dimensions", words, meaning)
    grippers = sample.robot.grippers(sample.dims[1])
    if grippers and set(grippers) <= set(still):
        meaning = "Keyframes at grasp and release cannot be found; name the gripper's column in the mapping."
        words = f"Action {_list(grippers)}, taken as the gripper, never change{'s' if len(grippers) == 1 else ''}."
        yield Problem("warning", "still_gripper", words, meaning)
    yield from _idle(sample)
    moving = action[np.append(True, (np.abs(np.diff(action, axis=0)) > STILL).any(axis=1))]
    shares = np.array([_clipped(moving[:, i]) for i in range(action.shape[1])])
    clipped = np.flatnonzero(shares > CLIPPED_SHARE)
    if len(clipped):
        worst = f"{shares.max():.0%} of the frames at worst"
        words = (
            f"Action {_list(clipped)} {'is' if len(clipped) == 1 else 'are'} clipped: exactly at a limit in {worst}."
        )
        meaning = "Frames at the limit look alike whatever the arm should do, which flatters k-NN; raise the limit."
        yield Problem("warning", "clipped_actions", words, meaning)


def _idle(sample: Sample) -> Iterator[Problem]:
    idle = []
    for index, episode in sample.alike.items():
        same = np.append((np.abs(np.diff(episode.action, axis=0)) <= STILL).all(axis=1), False)
        runs = np.diff(np.flatnonzero(np.concatenate([[True], ~same])))  # lengths of stretches of one action
        longest = int(runs.max(initial=0))
        if longest >= max(IDLE_S * episode.rate_hz, IDLE_SHARE * episode.frames) and episode.frames > 4:
            idle.append(index)
    if idle:
        words = f"{_episodes(tuple(idle))} repeat one action for a quarter of their frames or longer."
        meaning = "Idle frames are easy to predict and flatter every head; score keyframes, or cut them off."
        yield Problem("warning", "frozen_actions", words, meaning, tuple(idle))


def _clipped(values: np.ndarray) -> float:
    """Share of frames exactly at the lowest or highest value, of a number that takes many values; else 0."""
    unique, counts = np.unique(values, return_counts=True)
    if len(unique) < 20:
        return 0.0  # a gripper or a discrete command
    return float(max(counts[0], counts[-1]) / len(values))


def _timing(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    episodes = list(sample.alike.values())
    offset = action_offset(episodes)
    if offset is not None and offset.frames < 0:
        words = (
            f"Actions come {-offset.frames} frame{'s' if offset.frames < -1 else ''} late: they explain "
            f"{offset.explained:.0%} of the motion before them, and {offset.explained_now:.0%} of the motion after."
        )
        meaning = "Heads are then scored on what the arm has already done; shift the actions by that much."
        yield Problem("warning", "offset", words, meaning)
    share = follows_state(episodes, sample.robot.grippers(sample.dims[1]))
    if share is not None:
        words = f"The actions are positions to reach, not motions: the state alone explains {share:.0%} of them."
        meaning = "Look at the gain over state and time, not at raw error: every head that sees the state looks good."
        yield Problem("note", "absolute_actions", words, meaning)
        if not sample.mapping.absolute_actions:
            words = "The mapping says that they are motions."
            meaning = "Chunks past an episode's end would then ask the arm to go to zero; say that they are positions."
            yield Problem("warning", "action_kind", words, meaning)


def _duplicates(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    copies: dict[int, int] = {}
    for index, episode in sample.episodes.items():
        if episode.frames < 2:
            continue
        digest = hashlib.sha256(episode.action.tobytes() + episode.state.tobytes())
        if digest.hexdigest() in seen:
            copies[index] = seen[digest.hexdigest()]
        seen.setdefault(digest.hexdigest(), index)
    if copies:
        pairs = ", ".join(f"{index} of {original}" for index, original in list(copies.items())[:5])
        words = f"{len(copies)} episode{'s are copies' if len(copies) > 1 else ' is a copy'}: {pairs}."
        meaning = "An episode that is left out is then still among its neighbours, and errors come out too low."
        yield Problem("warning", "duplicates", words, meaning, tuple(copies))


def _failures(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    episodes = sample.dataset.episodes
    failed = tuple(i for i, episode in enumerate(episodes) if episode.success is False)
    if sample.dataset.policy and failed:
        words = f"{failures_words(len(failed), len(episodes))}."
        yield Problem("warning", "policy_failures", words, IMITATED.capitalize(), failed)


def _instructions(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    episodes = sample.dataset.episodes
    if sample.mapping.instruction or not episodes:
        return
    missing = tuple(i for i, episode in enumerate(episodes) if not episode.instruction.strip())
    if len(missing) == len(episodes):
        words = "No episode has an instruction."
        meaning = "The policy reads an empty prompt, and heads that ground words look irrelevant; give the mapping one."
        yield Problem("warning", "no_instruction", words, meaning)
    elif missing:
        words = f"{_episodes(missing)} have no instruction."
        meaning = "Their heads act without words, unlike in the others; leave them out or give the mapping one."
        yield Problem("warning", "instruction_gaps", words, meaning, missing)
    changing = tuple(i for i, episode in enumerate(episodes) if episode.instructions)
    if changing:
        words = f"The instruction changes within {len(changing)} of {len(episodes)} episodes."
        yield Problem("note", "changing_instruction", words, "Every frame has its own prompt.", changing)
    different = len({text for episode in episodes for text in episode.all_instructions})
    if different > 1:
        words = f"There are {different} different instructions."
        meaning = "Scores are of all these tasks together; import one task for the heads of that task."
        yield Problem("note", "several_tasks", words, meaning)


def _rates(sample: Sample, _: PolicyStatistics | None) -> Iterator[Problem]:
    rates = {episode.rate_hz for episode in sample.dataset.episodes}
    known = sorted(rate for rate in rates if rate)
    if sample.mapping.rate_hz and None in rates:
        words = f"The dataset does not say its rate; {sample.mapping.rate_hz:g} frames a second are assumed."
        meaning = "Keyframes go by the arm's speed; correct the rate in the mapping if it is another."
        yield Problem("note", "assumed_rate", words, meaning)
    elif not known:
        words = "Neither the dataset nor the mapping says the frames a second."
        yield Problem("error", "no_rate", words, "Keyframes and action chunks need it; give the mapping a rate_hz.")
    if len(known) > 1 and not sample.mapping.rate_hz:
        words = f"The rates differ: {', '.join(f'{rate:g}' for rate in known[:6])} frames a second."
        meaning = "The same motion then has other actions and chunks; import one rate at a time."
        yield Problem("warning", "mixed_rates", words, meaning)


def _normalisation(sample: Sample, policy: PolicyStatistics | None) -> Iterator[Problem]:
    episodes = list(sample.alike.values())
    if policy is None or not episodes:
        return
    for what, mean, spread, most in (
        ("state", policy.state_mean, policy.state_std, policy.most_state),
        ("action", policy.actions_mean, policy.actions_std, policy.most_action),
    ):
        values = np.concatenate([getattr(e, what) for e in episodes]).astype(np.float64)
        if most is not None and values.shape[1] > most:
            words = (
                f"The policy takes at most {most} {what} dimensions, and these demonstrations have {values.shape[1]}."
            )
            meaning = (
                "Its heads cannot be looked at on them: map fewer columns, e.g. of one arm, or use a larger policy."
            )
            yield Problem("warning", "too_many_dims", words, meaning)
            continue
        dims = values.shape[1]
        if 0 < dims < len(mean) and not np.any(mean[dims:]) and (np.asarray(spread)[dims:] <= PADDING).all():
            mean, spread = mean[:dims], spread[:dims]  # openpi pads to 32 before it counts
        if values.shape[1] != len(mean):
            words = f"The policy normalises {len(mean)} {what} dimensions, these demonstrations have {values.shape[1]}."
            meaning = "It is loaded with the statistics of these demonstrations instead; its heads see another scale."
            yield Problem("warning", "normalisation", words, meaning)
            continue
        wide = np.maximum(np.asarray(spread, np.float64), 1e-6)
        away = np.abs(values.mean(0) - mean) / wide
        ratio = np.maximum(values.std(0), 1e-6) / wide
        far = np.flatnonzero((away > FAR_MEAN) | (ratio > FAR_SPREAD))
        if len(far):
            lie = "lies" if len(far) == 1 else "lie"
            words = f"The {what} {_list(far)} {lie} far from the policy's normalisation (up to {away.max():.1f} SD)."
            meaning = "Heads get inputs unlike their training, and their scores say little; check units and columns."
            yield Problem("warning", "normalisation", words, meaning)


CHECKS: Sequence[Check] = (
    _frames,
    _mapped,
    _readable,
    lambda sample, _: cameras(sample),
    _finite,
    _actions,
    _timing,
    _duplicates,
    _failures,
    _instructions,
    _rates,
    lambda sample, _: orientation(sample),
    _normalisation,
)


def _episodes(indices: Sequence[int]) -> str:
    if len(indices) == 1:
        return f"Episode {indices[0]}"
    shown = ", ".join(map(str, indices[:8])) + (f" and {len(indices) - 8} more" if len(indices) > 8 else "")
    return f"Episodes {shown}"


def _list(dims: Sequence[int] | np.ndarray) -> str:
    return ("dimension " if len(dims) == 1 else "dimensions ") + ", ".join(str(int(d)) for d in dims[:12])
