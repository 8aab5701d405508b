"""What the card of an exported policy says: how it is loaded, its heads, its data, and how it did. Reads the store."""

from __future__ import annotations

from collections.abc import Sequence

from steering.pipeline.demonstrations import MAPPING_FILE
from steering.pipeline.heldout import heldout_notice
from steering.pipeline.making import load
from steering.store import Store
from steering.types import (
    METHOD_LABELS,
    Comparison,
    Demonstrations,
    FinetuneResult,
    Rollouts,
    SuccessRate,
    p_words,
)

TRIALS = "trials"
"""The folder of a store that holds trial books."""


def sections(
    store: Store,
    adapter_id: str,
    result: FinetuneResult,
    demonstrations: Demonstrations,
    *,
    layout: str,
    merged: bool,
) -> dict[str, Sequence[str]]:
    """Heading -> lines in Markdown; numbers are the store's own, and nothing is claimed that it does not hold."""
    from steering.finetune.saving import head_lines, robot_lines

    undone = layout != "peft"
    return {
        "Loading it": _loading(layout, merged),
        "What was trained": [_trained(result), "", *head_lines(result.method, result.selection)],
        "Robot": [*robot_lines(demonstrations.columns, undone=undone), *_cameras(store, adapter_id)],
        "Data": _data(store, adapter_id, demonstrations),
        "Results": [*_held_out(store, adapter_id, result), *_results(store, adapter_id), *trials_of(store, adapter_id)],
    }


def _loading(layout: str, merged: bool) -> list[str]:
    if layout == "openpi":
        return ["openpi's PyTorch policies read `model.safetensors`; statistics lie under `assets`."]
    if layout == "peft" and merged:
        return ["    PI0ForConditionalGeneration.from_pretrained(folder)"]
    if layout == "peft":
        return ["    PeftModel.from_pretrained(model, folder)", "", "`normalisation.json`: what it was trained under."]
    if merged:
        return [
            "    PI0Policy.from_pretrained(folder)",
            "",
            "`PI05Policy` for a π0.5, `SmolVLAPolicy` for a SmolVLA; `lerobot-eval --policy.path=folder`.",
        ]
    return [
        "    lerobot-eval --policy.path=folder",
        "",
        "An adapter over the policy that `adapter_config.json` names, which is loaded first.",
    ]


def _trained(result: FinetuneResult) -> str:
    s = result.settings
    rank = "" if result.rank is None else f", rank {result.rank}"
    return (
        f"{METHOD_LABELS[result.method]}: {result.trainable_parameters:,} parameters{rank}, {len(result.loss)} steps "
        f"of {s.batch_size}, peak learning rate {s.learning_rate:g}, seed {s.seed}."
    )


def _cameras(store: Store, adapter_id: str) -> list[str]:
    """What lerobot's processors cannot say: how pictures are turned before the policy sees them."""
    from steering.demonstrations import mapping as mappings

    path = store.folder(store.manifest(adapter_id).parents[0]) / MAPPING_FILE
    if not path.is_file():
        return []
    lines = []
    for role, camera in mappings.read(path).cameras.items():
        done = [f"turned by {camera.rotate}° clockwise"] if camera.rotate else []
        done += ["mirrored"] if camera.mirror else []
        done += ["red and blue exchanged"] if camera.bgr else []
        if done:
            lines += [
                f"Pictures of the {role} camera were {', '.join(done)} for training; do the same to the robot's.",
                "",
            ]
    return lines


def _data(store: Store, adapter_id: str, demonstrations: Demonstrations) -> list[str]:
    from steering.finetune.saving import plain

    training, held = demonstrations.split(store.manifest(adapter_id).params.get("heldout_episodes"))
    frames = sum(demonstrations.episodes[e].frames for e in training)
    told = sorted({text for one in demonstrations.episodes for text in one.all_instructions})
    counted = f"{len(training)} demonstrations, {frames} frames; {len(held)} more held out"
    lines = [f"{plain(demonstrations.name)}: {counted}. Instructions, the first ten where there are more:", ""]
    return [*lines, *(f"- {plain(text)}" for text in told[:10])]


def _held_out(store: Store, adapter_id: str, result: FinetuneResult) -> list[str]:
    if not len(result.heldout_error):
        return []
    note = heldout_notice(store, adapter_id, store.manifest(adapter_id).parents[0])
    first, last = result.heldout_error[0], result.heldout_error[-1]
    said = f"Error on held-out episodes, in squared standard deviations: {first:.3f} before, {last:.3f} after. {note}"
    return [said.strip(), ""]


def results_of(store: Store, adapter_id: str) -> list[str]:
    """Ids of the rollouts of an adapter and of the comparisons that hold them."""
    own = {one.id for one in store.find("rollouts") if adapter_id in one.parents}
    compared = {one.id for one in store.find("comparison") if own & set(one.parents)}
    return sorted(own | compared)


def _results(store: Store, adapter_id: str) -> list[str]:
    """Comparisons that it took part in, then rollouts that no comparison holds."""
    from steering.comparison.intervals import success_rate

    found = results_of(store, adapter_id)
    lines, compared = [], set[str]()
    for one in (one for one in found if one.startswith("comparison-")):
        compared |= set(store.manifest(one).parents)
        lines += _comparison(load(store, one, Comparison))
    for one in (one for one in found if one not in compared and one.startswith("rollouts-")):
        rollouts: Rollouts = load(store, one, Rollouts)
        where = ", ".join((rollouts.task, *rollouts.variations))
        lines.append(f"- {where}, in simulation: {_rate(success_rate(rollouts.method, rollouts.success))}")
    return lines


def trials_of(store: Store, adapter_id: str) -> list[str]:
    """Trials on a robot that it took part in and that are over, of the books of the store."""
    from steering.trials.book import PLAN, open_book
    from steering.trials.report import rows, sentences

    lines = []
    for path in sorted((store.root / TRIALS).glob(f"*/{PLAN}")):
        book = open_book(path.parent)
        if adapter_id in book.plan.adapters.values() and book.next() is None:
            lines += ["On a robot, every method from the same starts:", ""]
            lines += [f"- {', '.join(part for part in row if part)}" for row in rows(book)]
            lines += [f"- {line}" for line in sentences(book.plan, book.trials(), {})]
            lines += [""]
    return lines


def _comparison(comparison: Comparison) -> list[str]:
    from steering.comparison.compare import ending

    where = ", ".join((comparison.task, *comparison.variations))
    lines = [f"{where}, {len(comparison.seeds)} scenes in simulation, the same for every method:", ""]
    lines += [f"- {_rate(one)}" for one in comparison.rates]
    test_name = "exact McNemar" if comparison.stopping is None else "sign test at every look"
    for test in comparison.tests:
        lines.append(
            f"- {test.first} against {test.second}: {test.only_first} and {test.only_second} scenes that only one of "
            f"them solved, p {p_words(test.p_holm)} ({test_name}, Holm)"
        )
    lines += [f"- {ended}"] if (ended := ending(comparison)) else []
    return [*lines, ""]


def _rate(rate: SuccessRate) -> str:
    low, high = round(100 * rate.low), round(100 * rate.high)
    return f"{rate.method}: {rate.successes} of {rate.trials}, 95 % interval {low} to {high} %"
