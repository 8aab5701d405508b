"""The questions that anybody may ask by name, with the rights of their page: scripts, agents and other pages.

Each takes plain values, checks them, and answers at once; work is queued, and the id of its job is the answer. Head
sets are hexadecimal digits, as links carry them. QUESTIONS lists them all; `app.endpoints` registers them, and
docs/QUESTIONS.md shows each.
"""

from __future__ import annotations

from collections.abc import Callable

from app.answers.comparison import MAX_SCENE_SET, MAX_SCENES, Choice, ComparisonSummary
from app.answers.demonstrations import EXPERT, MAX_EPISODES, SetCard
from app.answers.heads import ChosenHeads, HeadScore, HeadScores, KeptMeasure, Nearest, NearFrame
from app.answers.holdings import Holding, RemovalCard
from app.answers.jobs import JobLine
from app.answers.policies import PolicyRow
from app.answers.report import File
from app.answers.strength import MAX_STRENGTH_SCENES, SHARES, Weakened
from app.answers.surgery import MAX_SURGERY_SCENES, SurgerySummary
from app.answers.training import Outlook, ResultRow
from app.answers.uploads import HealthCard
from app.questions import (
    choosing,
    comparison,
    demonstrations,
    exports,
    head_sets,
    heads,
    holdings,
    measures,
    results,
    training,
    training_form,
    uploads,
)
from app.questions import classes as teaching
from app.questions import jobs as work
from app.questions import policies as open_here
from app.questions import strength as weakening
from app.questions import surgery as surgeons
from app.questions.context import Context
from app.questions.lead_sentence import lead_sentence
from app.untrusted import one_of, some_of, within
from steering.errors import InputError
from steering.finetune.presets import PRESETS
from steering.metrics import BY_NAME
from steering.types import INSTRUCTIONS, METHOD_LABELS, PHASES, Head, SetError, origin_words

TASKS = (*demonstrations.TASKS, demonstrations.UNSEEN_TASK)
RULES = ("top", "bottom", "random", "above_null", "other_task")


def policies(context: Context) -> list[PolicyRow]:
    """The policies that can be worked with here; `used` is the one that this was asked with."""
    return open_here.choices(context)


def open_policy(context: Context, key: str, demonstrations_id: str = "") -> str:
    """Queue the check of another policy; the job's id. When it is done, questions can be asked with `key`, which is one
    of `policies`, or an id on the Hugging Face hub. demonstrations_id: what to try it on.
    """
    return open_here.open_policy(context, key[:200], demonstrations_id)


def sets(context: Context) -> list[SetCard]:
    """The demonstration sets that you see, your own first."""
    return demonstrations.sets(context)


def health(context: Context, demonstrations_id: str) -> HealthCard | None:
    """The report of an imported set; nothing for one that was recorded here."""
    return uploads.health(context, demonstrations_id)


def record(
    context: Context, task: str, count: int = 20, seed: int = 0, variations: list[str] | None = None, by: str = EXPERT
) -> str:
    """Queue `count` demonstrations of a task by the scripted expert in the simulator; the job's id. by: `policy`, or
    the id of a finetune of yours, records what that does in the expert's scenes instead, its failures too.
    """
    return demonstrations.record(
        context,
        one_of(task, TASKS, "task"),
        within(count, 2, MAX_EPISODES, "count"),
        within(seed, 0, 9_999, "seed"),
        some_of(variations or [], demonstrations.VARIATIONS, "variations"),
        by,
    )


def find_heads(context: Context, demonstrations_id: str) -> str:
    """Queue head outputs, scores and attention of a set with the policy in use; the job's id."""
    _set(context, demonstrations_id)
    return measures.find_heads(context, demonstrations_id)


def measure(context: Context, demonstrations_id: str, metric: str, target: str = "action", phase: str = "whole") -> str:
    """Queue another score of the heads; the job's id. metric: knn and ridge ask head outputs what they tell of `target`
    over the frames of `phase`; others run the policy.
    """
    _set(context, demonstrations_id)
    asked = one_of(target, measures.targets(context, demonstrations_id), "target")
    frames = one_of(phase, ("whole", *PHASES), "phase")
    return measures.start(
        context, demonstrations_id, one_of(metric, tuple(BY_NAME), "metric"), "default", asked, frames
    )


def scored_by(context: Context, demonstrations_id: str) -> list[KeptMeasure]:
    """The measures that the heads of a set were scored by, the one that the page opens with first."""
    found = measures.stored(context, demonstrations_id)
    return [KeptMeasure(one.key, one.metric, one.preset, one.target, one.phase, one.tokens) for one in found]


def scores(context: Context, demonstrations_id: str, measure: str = "") -> HeadScores:
    """The score of every head by `measure`, a key of `scored_by`, the first unless given."""
    relevance = measures.scored(context, demonstrations_id, measure)
    shown = measures.shown(context, demonstrations_id, measure)
    trust = measures.trust(context, demonstrations_id, measure)
    rows = []
    for head in relevance.shape.all_heads():
        at = relevance.shape.place(head)
        known = () if trust is None else (float(trust.score_low[at]), float(trust.score_high[at]), float(trust.p[at]))
        rows.append(
            HeadScore(head.stack, head.layer, head.head, float(relevance.score[at]), bool(relevance.inert[at]), *known)
        )
    sentence = lead_sentence(relevance, trust, shown.target if shown else "action")
    return HeadScores(shown.key if shown else "", sentence, tuple(rows))


def choose_heads(
    context: Context,
    demonstrations_id: str,
    count: int = 20,
    rule: str = "top",
    stacks: list[str] | None = None,
    measure: str = "",
) -> ChosenHeads:
    """A head set by a rule: the best (top), the worst (bottom), as many at random in the layers of the best (random),
    all better than chance (above_null), or the best of another task (other_task). stacks: vlm, expert; the one that the
    measure ranks by unless given.
    """
    relevance = measures.scored(context, demonstrations_id, measure)
    rule = one_of(rule, RULES, "rule")
    chosen = some_of(stacks or [], relevance.shape.names, "stacks") or list(relevance.shape.names[:1])
    count = within(count, 1, choosing.movable(context, demonstrations_id, measure, chosen), "count")
    if rule == "above_null":
        found = choosing.above_null(context, demonstrations_id, measure, chosen)
    elif rule == "other_task":
        found = choosing.other_task(context, demonstrations_id, measure, count, chosen)
    else:
        found = choosing.auto_select(context, demonstrations_id, count, chosen, measure, rule)
    origin = head_sets.by_rule(context, demonstrations_id, measure, rule)
    return ChosenHeads(head_sets.digits_of(context, found), found, origin_words(origin))


def set_error(context: Context, demonstrations_id: str, heads: str, measure: str = "") -> SetError | None:
    """The held-out error of a head set, asked as one head; nothing where head outputs are not kept. heads: digits."""
    return choosing.set_error(context, demonstrations_id, measure, _heads(context, heads))


def nearest(
    context: Context, demonstrations_id: str, stack: str, layer: int, head: int, episode: int = 0, frame: int = 0
) -> Nearest:
    """The frames of other episodes in which a head says nearly the same as at this one, and what was done there."""
    shape = context.size.head_shape
    one = next((one for one in shape.all_heads() if (one.stack, one.layer, one.head) == (stack, layer, head)), None)
    if one is None:
        raise InputError(f"This policy has no head {stack[:40]} {layer}.{head}. Its heads are {shape.words()}.")
    frames = demonstrations.card(context, demonstrations_id).frames
    episode = within(episode, 0, len(frames) - 1, "episode")
    why = heads.why(context, demonstrations_id, one, episode)[within(frame, 0, frames[episode] - 1, "frame")]
    near = zip(why.neighbour_episode, why.neighbour_frame, why.distance, why.weight, strict=True)
    return Nearest(
        tuple(NearFrame(int(i), int(j), float(distance), float(weight)) for i, j, distance, weight in near),
        tuple(why.names),
        tuple(map(float, why.predicted)),
        tuple(map(float, why.true)),
    )


def outlook(
    context: Context, demonstrations_id: str, heads: str, preset: str = "default", rank: int = 0
) -> dict[str, Outlook]:
    """What each method would train and take on a head set, or what it still needs. heads: digits; rank: of the
    adapters, the preset's own unless given.
    """
    asked = _training(preset, 0, rank, 0, list(training_form.OFFERS))
    return training.outlook(context, demonstrations_id, "", _heads(context, heads), asked)


def train(
    context: Context,
    demonstrations_id: str,
    heads: str,
    methods: list[str] | None = None,
    preset: str = "default",
    steps: int = 0,
    rank: int = 0,
    seed: int = 0,
) -> list[str]:
    """Queue a finetune of each method; the jobs' ids. heads: digits; methods: Robotic Steering and LoRA unless given;
    steps, rank: the preset's own unless given.
    """
    _set(context, demonstrations_id)
    asked = _training(preset, steps, rank, seed, methods or list(training_form.Asked().methods))
    return training.start(context, demonstrations_id, "", _heads(context, heads), asked)


def finetunes(context: Context) -> list[ResultRow]:
    """The newest finished finetunes that you see."""
    return results.finetunes(context)


def compare(
    context: Context,
    demonstrations_id: str,
    task: str,
    methods: list[str],
    scenes: int = 20,
    seed: int = 0,
    variations: list[str] | None = None,
    words: list[str] | None = None,
    stop_early: bool = False,
) -> list[str]:
    """Queue rollouts of the untouched policy (zero_shot) and of methods trained on a set, in the same scenes; the jobs'
    ids. words: what to tell the policies besides the task's own instruction, each a comparison of its own. stop_early:
    run fewer scenes once every two methods are told apart, or no difference of 20 points or more is likely.
    """
    return comparison.start(
        context,
        demonstrations_id,
        one_of(task, TASKS, "task"),
        some_of(methods, tuple(training_form.OFFERS) + tuple(METHOD_LABELS), "methods"),
        within(scenes, 1, MAX_SCENES, "scenes"),
        within(seed, 0, MAX_SCENE_SET, "seed"),
        some_of(variations or [], demonstrations.VARIATIONS, "variations"),
        some_of(words or [], tuple(INSTRUCTIONS), "words"),
        stop_early,
    )


def comparisons(context: Context) -> list[Choice]:
    """The newest comparisons that you see, your own first."""
    return comparison.choices(context)


def compared(context: Context, comparison_id: str) -> ComparisonSummary:
    """What a comparison shows: successes with intervals, differences with intervals, and the verdict in sentences."""
    found = comparison.comparison(context, comparison_id)
    value = found.comparison
    return ComparisonSummary(
        found.id,
        value.task,
        tuple(value.seeds),
        found.sentence,
        found.sentences,
        value.rates,
        found.effects,
        found.origins,
    )


def surgery(
    context: Context,
    heads: str,
    task: str,
    factor: float = 0.0,
    from_s: float = 0.0,
    scenes: int = 20,
    seed: int = 0,
    demonstrations_id: str = "",
    method: str = "zero_shot",
) -> str:
    """Queue scenes with heads changed while they run, beside the same scenes untouched and beside other heads of the
    same layers changed as much; the job's id. heads: digits; factor: of their outputs, 0 silences, -1 turns round;
    from_s: the second of a scene from which, in quarters; method: one trained on a set, or the policy as it is.
    """
    if not -4 <= factor <= 4:
        raise InputError(f"Expected a factor of -4 to 4, got {factor}.")
    if not (0 <= from_s <= 60 and (4 * from_s).is_integer()):
        raise InputError(f"Expected quarters of a second from 0 on, at which the policy is asked; got {from_s}.")
    return surgeons.start(
        context,
        one_of(task, TASKS, "task"),
        _heads(context, heads),
        factor,
        from_s,
        within(scenes, 1, MAX_SURGERY_SCENES, "scenes"),
        within(seed, 0, MAX_SCENE_SET, "seed"),
        demonstrations_id,
        one_of(method, (*METHOD_LABELS, *training_form.OFFERS), "method"),
    )


def surgeries(context: Context) -> list[SurgerySummary]:
    """The newest finished surgeries that you see: one sentence each, successes, differences with intervals, films."""
    return surgeons.surgeries(context)


def strength(context: Context, adapter_id: str, shares: str = "halves", scenes: int = 10, seed: int = 0) -> str:
    """Queue a finetune at several strengths, 0 the policy without it and 1 as trained, in scenes of its own task and of
    the pretraining, which it was not trained on; the job's id. adapter_id: of `finetunes`; shares: halves or quarters.
    """
    return weakening.start(
        context,
        adapter_id,
        one_of(shares, tuple(SHARES), "shares"),
        within(scenes, 1, MAX_STRENGTH_SCENES, "scenes"),
        within(seed, 0, MAX_SCENE_SET, "seed"),
    )


def strengths(context: Context) -> list[Weakened]:
    """The newest finetunes that were run at several strengths: successes with intervals on their own task and on what
    the policy knew before.
    """
    return weakening.strengths(context)


def report(context: Context, run_id: str) -> File:
    """A finetune or a comparison as one page that opens offline; its address below this server's, and a name for it."""
    return exports.report(context, run_id)


def export_heads(context: Context, demonstrations_id: str, kind: str, heads: str = "", measure: str = "") -> File:
    """Scores as relevance.csv or relevance.json, or a head set as selection.json in the authors' form: its address."""
    chosen = _heads(context, heads) if heads else ()
    return exports.heads(context, one_of(kind, exports.KINDS, "kind"), demonstrations_id, measure, chosen)


def jobs(context: Context) -> list[JobLine]:
    """Your jobs, newest first; ended ones for an hour."""
    return work.work(context)


def stop(context: Context, job_id: str) -> None:
    """Stop a job of yours."""
    work.stop(context, job_id)


def again(context: Context, job_id: str) -> None:
    """Start an ended job of yours once more, as it was asked for; a training goes on from its checkpoint."""
    work.again(context, job_id)


def held(context: Context) -> Holding:
    """What you have on this server, and how much room it takes."""
    return holdings.shown(context)


def goes_along(context: Context, wanted: str) -> RemovalCard:
    """What deleting a thing of yours would take along. wanted: its id, or `everything`."""
    return holdings.asked(context, wanted)


def delete(context: Context, wanted: str) -> None:
    """Delete a thing of yours with what was made from it, for good. wanted: its id, or `everything`."""
    holdings.delete(context, wanted)


QUESTIONS: tuple[Callable[..., object], ...] = (
    *(policies, open_policy, sets, health, record, find_heads, measure, scored_by, scores, choose_heads, set_error),
    *(nearest, outlook, train, finetunes, compare, comparisons, compared, surgery, surgeries, strength, strengths),
    *(report, export_heads, jobs, stop, again),
    *(held, goes_along, delete),
    *(teaching.lessons, teaching.make_class, teaching.classes, teaching.join_class, teaching.leave_class),
    *(teaching.class_prediction, teaching.class_vote, teaching.class_run),
    *(teaching.class_chart, teaching.class_table, teaching.close_class),
)


def _set(context: Context, demonstrations_id: str) -> None:
    """Raises InputError where an id is none of demonstrations that whoever asks sees."""
    if demonstrations_id not in {one.id for one in context.store.find("demonstrations")}:
        raise InputError("There are no such demonstrations here. `sets` lists those that you see, with their ids.")


def _heads(context: Context, digits: str) -> tuple[Head, ...]:
    found = head_sets.heads_of(context, digits)
    if not found:
        raise InputError("Expected a head set of this policy as hexadecimal digits, such as `choose_heads` answers.")
    return found


def _training(preset: str, steps: int, rank: int, seed: int, methods: list[str]) -> training_form.Asked:
    """A checked form; 0 where the preset's own number holds."""
    form: dict[str, object] = {"preset": one_of(preset, tuple(PRESETS), "preset")}
    form["methods"] = some_of(methods, training_form.OFFERS, "methods")
    form["seed"] = within(seed, 0, 999_999, "seed")
    if steps:
        form["steps"] = within(steps, 1, training_form.MAX_STEPS, "steps")
    if rank:
        form["rank"] = int(one_of(str(rank), tuple(map(str, training_form.RANKS)), "rank"))
    return training_form.read(form)
