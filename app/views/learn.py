"""The lessons of the Learn step: predict, act on the page's real controls, then see what this page's own data says.

static/learn/lessons.js runs them. `{name}` in a reveal is a fact that it reads from what is open (see `facts` there); a
choice is right when its name is the fact `answer` of the lesson.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One thing to do. done: the condition of static/learn that ends it; tab: where; find: selector to point at."""

    text: str
    done: str
    tab: str
    find: str


@dataclass(frozen=True)
class Lesson:
    """idea: what to know first; question with choices (name, words): the prediction; reveal: what the data says."""

    id: str
    title: str
    minutes: int
    idea: str
    question: str
    choices: tuple[tuple[str, str], ...]
    tasks: tuple[Task, ...]
    reveal: str


MAP, PLAYER = "[data-testid=head-map]", "[data-testid=frame-player]"
AUTO, START = "[data-testid=auto-select]", "[data-testid=finetune-start]"

LESSONS = (
    Lesson(
        "head",
        "What a head is",
        2,
        "A policy reads image patches, words and joint angles as tokens. In every layer several attention heads each "
        "decide where to look and write a short vector about what they saw. Each cell of the map is one head.",
        "Where does the head that the page opens with, the best of the selected ones, look most of the time?",
        (
            ("exterior", "Exterior camera"),
            ("wrist", "Wrist camera"),
            ("instruction", "Instruction"),
            ("state", "Joint state"),
            ("actions", "Action tokens"),
        ),
        (
            Task(
                "Move through at least ten frames and watch the lines over the pictures.", "scrubbed", "heads", PLAYER
            ),
            Task("Click another cell: cameras and bars now show what that head sees.", "pinned", "heads", MAP),
        ),
        "{best} looks mostly at {place}: {share} of its attention on average over the episode. Other heads divide "
        "their attention differently; that is what makes them worth telling apart.",
    ),
    Lesson(
        "baseline",
        "What relevance means, and the baseline",
        2,
        "A head is relevant when what it says predicts what the demonstrator did: find the frames in which it said "
        "similar things, and average their actions. But a stopped clock is right twice a day, so a score needs "
        "something to beat.",
        "How much of the demonstrated action can be predicted by a plain clock, that sees no image and no head?",
        (("little", "Under a quarter"), ("half", "A quarter to three quarters"), ("much", "Over three quarters")),
        (Task("Show three different heads and read the sentence about each.", "three", "heads", MAP),),
        "On these demonstrations the clock alone explains {time}, joint state and time together {state_time}, and the "
        "best head {best_share}. Only what lies above the baselines says that a head carries the task: that is why "
        "the sentence beside every head names the strongest of them.",
    ),
    Lesson(
        "inert",
        "Heads that cannot matter",
        1,
        "In π0 the action expert reads the language model only through the keys and values of each layer. A score is a "
        "correlation: it can be high for a head whose output nothing reads.",
        "Which layer of the VLM holds heads that can move no action at all?",
        (("first", "The first"), ("middle", "One in the middle"), ("last", "The last")),
        (
            Task(
                "Find the grey striped cells and click one. It has no tick: nobody can select it.",
                "inert",
                "heads",
                MAP,
            ),
        ),
        "The {inert_layer} layer: {inert} heads are inert. Nothing behind that layer reads what they write, so their "
        "gradient is exactly zero, whatever their score. A good selection must know it.",
    ),
    Lesson(
        "choose",
        "Choosing heads",
        2,
        "Robotic Steering trains low-rank adapters on the query and output projections of the chosen heads and leaves "
        "all else frozen. LoRA, the usual way, adapts every head and every feed-forward layer.",
        "With twenty heads chosen, how many numbers are trained, compared with LoRA?",
        (("half", "About half"), ("tenth", "A fifth to a twentieth"), ("hundredth", "Less than a twentieth")),
        (
            Task("Press Auto-select: the rule takes the twenty best heads.", "chosen", "heads", AUTO),
            Task("Change the set by hand: tick a head, drag a box, or click a row's number.", "changed", "heads", MAP),
            Task("Take the change back with Undo.", "undone", "heads", "[data-command=undo]"),
        ),
        "The set that is selected now trains {trainable} numbers, LoRA at the same rank {lora}: {times} times as many. "
        "Fewer numbers fit less, and forget less.",
    ),
    Lesson(
        "train",
        "Train them",
        3,
        "Finetuning shows the policy the demonstrations that are open. A fifth of the episodes are left out; the "
        "error of predicted actions on those is the held-out error.",
        "After a short run of 40 steps, whose held-out error will be lower?",
        (("steering", "Robotic Steering"), ("lora", "LoRA, all heads"), ("tie", "Equal within a hundredth")),
        (
            Task("Set Steps to at most 40 and press Finetune with both methods ticked.", "started", "finetune", START),
            Task(
                "Wait for both runs to finish, about a minute. Stop is there if you need it.", "both", "finetune", START
            ),
        ),
        "Held-out error: Robotic Steering {steering}, LoRA {lora_error}. More parameters fit quicker in few steps. "
        "Whether the arm acts better is another question: that is what Compare is for.",
    ),
    Lesson(
        "control",
        "Compare with a control",
        3,
        "Did it matter which heads were chosen, or only how many? A control answers: random heads of the same layers, "
        "trained in the same way.",
        "Trained on random heads instead, the held-out error will be…",
        (
            ("worse", "higher by more than a tenth"),
            ("same", "within a tenth"),
            ("better", "lower by more than a tenth"),
        ),
        (
            Task("Set the rule to Control: random and press Auto-select.", "random", "heads", AUTO),
            Task("Finetune Robotic Steering again with the same settings.", "started", "finetune", START),
            Task("Wait for it to finish.", "one", "finetune", START),
        ),
        "Chosen heads: {before}. Random heads: {after}. One run is one draw: a claim needs several seeds and episodes "
        "that took no part in choosing. A method that does not beat its control has shown nothing.",
    ),
    Lesson(
        "evidence",
        "Is the difference real?",
        3,
        "Every method runs in the same scenes, so only scenes in which they differ tell them apart. The paired test "
        "counts those.",
        "One method wins every scene in which two differ. How many such scenes does it take to be convincing at 5 %?",
        (("two", "Two"), ("four", "Four"), ("six", "Six")),
        (
            Task(
                "Play a scene to its end; where there is no comparison yet, start one with four scenes first.",
                "watched",
                "compare",
                "[data-testid=rollout-player], [data-testid=compare-start]",
            ),
            Task("Vote on that scene before the names show.", "voted", "compare", "[data-testid=rollout-player]"),
        ),
        "Six: if both were equal, each such scene would be a coin toss, and six heads in a row come with a chance of "
        "2 × ½⁶ = 3 % (five: 6 %). Ten scenes are too few for most differences; the intervals say how much is open.",
    ),
)


LIST = '<div data-lessons></div><span hidden data-emit="lessons" data-emitted="null"></span>'


def lessons() -> list[dict[str, Any]]:
    """What static/learn/lessons.js runs."""
    return [asdict(lesson) for lesson in LESSONS]
