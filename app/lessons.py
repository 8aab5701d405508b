"""The lessons of the Learn step: predict, act on the page's real controls, then see what one's own data say.

static/learn runs them. No figure stands here: `{name}` is a fact that the page reads from what is open (see
static/learn/facts.js), and what is right follows from it.
"""

from __future__ import annotations

from app.answers.classes import Lesson, LessonChoice, LessonTask

MAP, PLAYER = "[data-testid=head-map]", "[data-testid=frame-player]"
AUTO, START = "[data-testid=auto-select]", "[data-testid=finetune-start]"
VIDEOS = "[data-testid=rollout-player], [data-testid=compare-start]"
SAID = "[data-testid=head-inspector] .wb-sentence"
LEADS = "[data-testid=lead], [data-testid=lead-set]"
RESULTS = "[data-testid=finetune-results]"

LESSONS = (
    Lesson(
        "head",
        "What a head is",
        2,
        "A policy reads patches of pictures, words and joint angles as tokens. In every layer several attention heads "
        "each decide where to look, and write a short vector about what they saw. Each cell of the map is one head.",
        "Where does {best}, the best of the selected heads, look most of the time?",
        (
            LessonChoice(
                "exterior",
                "At the exterior camera",
                "That camera shows the whole scene, but this head gives it {exterior}, less than {place}.",
            ),
            LessonChoice(
                "wrist",
                "At the wrist camera",
                "That camera is nearest to the work, but this head gives it {wrist}, less than {place}.",
            ),
            LessonChoice(
                "instruction",
                "At the instruction",
                "The words are few and the same in every frame; this head gives them {instruction}.",
            ),
            LessonChoice(
                "state", "At the joint state", "Joint state is one token among hundreds; this head gives it {state}."
            ),
            LessonChoice(
                "actions",
                "At action tokens",
                "In π0 only heads of the action expert can see action tokens; this head gives them {actions}.",
            ),
        ),
        (
            LessonTask(
                "Move through at least ten frames and watch the lines over the pictures.", "scrubbed", "heads", PLAYER
            ),
            LessonTask("Click another cell: cameras and bars now show what that head sees.", "another", "heads", MAP),
        ),
        "{best} gives {share} of its attention to {place}, on average over this episode. Other heads divide theirs "
        "differently; that is what makes them worth telling apart.",
        "A head decides where to look and writes a short vector about it. Heads look at different places.",
        (f"{SAID}, .wb-mass, [data-testid=lead-set]",),
    ),
    Lesson(
        "baseline",
        "What relevance means, and the baseline",
        2,
        "A head is relevant when what it writes goes with what the demonstrator did: find the frames of other episodes "
        "in which it wrote nearly the same, and average the actions done there. How good such a guess is, is told as "
        "explained variance: 1 is perfect, 0 as good as always guessing the mean action, and below 0 is worse than "
        "that: the average of a few frames scatters more than the mean, so a guess that knows nothing falls below 0. "
        "And an arm does similar things at similar times, so a score needs something to beat.",
        "How much of the action can be guessed from the clock alone: the time in the episode, no picture, no head?",
        (
            LessonChoice(
                "worse",
                "Nothing: below 0",
                "Below 0 would be worse than always guessing the mean. The clock explains {time}: {paces}.",
            ),
            LessonChoice("little", "0 to 25 %", "The clock explains {time}: {paces}."),
            LessonChoice("half", "25 to 75 %", "The clock explains {time}: {paces}."),
            LessonChoice(
                "much",
                "More than 75 %",
                "Then the arm would hardly need to look. The clock explains {time}: {paces}.",
            ),
        ),
        (
            LessonTask(
                "Show three different heads and read the sentence about each, beside the map.", "three", "heads", MAP
            ),
        ),
        "On these demonstrations the clock alone explains {time}, joint state and time together {state_time}. {best}",
        "A score needs a baseline: what time and joint state already know says nothing about a head. Below 0 is worse "
        "than always guessing the mean.",
        (f"{SAID}, {LEADS}",),
    ),
    Lesson(
        "inert",
        "Heads that cannot matter",
        1,
        "In π0 the action expert reads, from every layer of the VLM, keys and values alone. These are made from what "
        "enters the layer, before its heads write. A score is a correlation: it can be high for a head whose output "
        "nothing reads.",
        "Which layer of the VLM holds heads that can move no action at all?",
        (
            LessonChoice(
                "first",
                "The first",
                "What the first layer writes is read by every layer above it, so it has many ways to the action.",
            ),
            LessonChoice(
                "middle",
                "One in the middle",
                "What a middle layer writes enters the layers above it, and the expert reads their keys and values.",
            ),
            LessonChoice("last", "The last", "In this policy something reads the last layer."),
        ),
        (
            LessonTask(
                "Find the grey striped cells and click one. It has no tick: nobody can select it.",
                "inert",
                "heads",
                MAP,
            ),
        ),
        "The {inert_layer} layer: its {inert} heads are inert. There is no layer above that would read what they "
        "write, so their gradient is exactly zero, whatever their score.",
        "A score is a correlation. A head whose output nothing reads cannot move an action, so it is not worth "
        "training.",
        (f".wb-map, .wb-legend, {LEADS}",),
    ),
    Lesson(
        "choose",
        "Choosing heads",
        2,
        "Robotic Steering trains low-rank adapters on the query and output projections of the chosen heads and leaves "
        "all else frozen. LoRA, the usual way, adapts every head and every feed-forward layer.",
        "With the heads that the rule chooses, how many numbers are trained, compared with LoRA at the same rank?",
        (
            LessonChoice(
                "half",
                "More than a quarter",
                "LoRA adapts the feed-forward layers too, and every head: {lora} numbers, {times} times as many as the "
                "chosen heads.",
            ),
            LessonChoice(
                "tenth",
                "A quarter to a twentieth",
                "Counted, LoRA trains {lora} numbers and the chosen heads {trainable}: {times} times as many.",
            ),
            LessonChoice(
                "hundredth",
                "Less than a twentieth",
                "The chosen heads are {heads} of {all}, so their part is not that small: LoRA trains {times} times as "
                "many.",
            ),
        ),
        (
            LessonTask("Press Auto-select: the rule takes the best heads.", "chosen", "heads", AUTO),
            LessonTask(
                "Change the set by hand: tick a head, drag a box, or click a row's number.", "changed", "heads", MAP
            ),
            LessonTask("Take the change back with Undo.", "undone", "heads", "[data-command=undo]"),
        ),
        "The {heads} selected heads train {trainable} numbers, LoRA at the same rank {lora}: {times} times as many. "
        "Which acts better is not said by that; it has to be measured.",
        "Training a few heads changes a fraction of the numbers that LoRA changes. Fewer is cheaper to keep and to "
        "send, and by itself neither better nor worse.",
        ("[data-testid=what-if], .wb-cost",),
    ),
    Lesson(
        "train",
        "Train them",
        3,
        "Finetuning shows the policy the demonstrations that are open. A tenth of the episodes are left out; how far "
        "predicted actions lie from those done there is the held-out error. Lower is better.",
        "After a short run of at most 40 steps, whose held-out error will be lower?",
        (
            LessonChoice(
                "steering",
                "Robotic Steering",
                "Fewer numbers did not fall faster here: from {untouched}, the chosen heads came to {steering} and "
                "LoRA to {lora_error}.",
            ),
            LessonChoice(
                "lora",
                "LoRA, all heads",
                "More numbers did not come lower here: from {untouched}, LoRA came to {lora_error}, chosen heads to "
                "{steering}.",
            ),
            LessonChoice(
                "tie",
                "Equal within a hundredth",
                "They differ by {gap}: Robotic Steering came to {steering}, LoRA to {lora_error}.",
            ),
        ),
        (
            LessonTask(
                "Set Steps to 40 or fewer, leave Robotic Steering and LoRA ticked, and press Finetune.",
                "both_started",
                "finetune",
                START,
            ),
            LessonTask(
                "Wait for both runs to finish, about a minute. Stop is there if you need it.", "both", "finetune", START
            ),
        ),
        "Both began at {untouched}. After {steps} steps of yours Robotic Steering is at {steering}, LoRA at "
        "{lora_error}. That is one run of each, with one seed. Whether the arm acts better is another question: that "
        "is what Compare is for.",
        "The held-out error tells how well actions are predicted in episodes that were left out, and no more: not that "
        "the arm acts better.",
        (RESULTS,),
    ),
    Lesson(
        "control",
        "Compare with a control",
        3,
        "Did it matter which heads were chosen, or only how many? A control answers: as many heads at random in the "
        "layers of the best ones, trained in the same way, with the same seed.",
        "On random heads, compared with the chosen ones, the held-out error will be…",
        (
            LessonChoice(
                "worse",
                "higher by more than a tenth",
                "Choosing did not help that much here: random heads came to {after}, the chosen to {before}.",
            ),
            LessonChoice(
                "same",
                "within a tenth",
                "They lie further apart here: random heads came to {after}, the chosen to {before}.",
            ),
            LessonChoice(
                "better",
                "lower by more than a tenth",
                "Random heads were not that much better here: they came to {after}, the chosen to {before}.",
            ),
        ),
        (
            LessonTask(
                "Tick Control: random heads beside Robotic Steering, keep 40 steps or fewer, and press Finetune. A run "
                "that was made already is not made twice.",
                "control_started",
                "finetune",
                "[name=methods][value=random]",
            ),
            LessonTask("Wait for both runs to finish.", "control", "finetune", START),
        ),
        "After {steps} steps: chosen heads {before}, random heads {after}, both from {untouched}. One run is one draw: "
        "a claim needs several seeds, and episodes that took no part in choosing. And what a head tells is one thing, "
        "what training it can change another: a head of an early layer has more layers above it to act through.",
        "A method that does not beat its control has shown nothing, and one run of each shows little.",
        (RESULTS,),
    ),
    Lesson(
        "evidence",
        "Is the difference real?",
        3,
        "Every method runs in the same scenes, so only scenes in which they differ tell them apart. If both were "
        "equally good, each such scene would be a coin toss; the paired test asks how often a fair coin splits them "
        "so unevenly, either way. Below 5 % it counts as convincing.",
        "One method wins every scene in which two differ. How many such scenes does it take to be convincing?",
        (
            LessonChoice("two", "Two", "A coin falls twice the same way in half of all tries: 2 × ½² = 50 %."),
            LessonChoice("four", "Four", "A coin falls four times the same way in an eighth of all tries: 12.5 %."),
            LessonChoice("six", "Six", "Six suffice: 2 × ½⁶ = 3 %."),
        ),
        (
            LessonTask(
                "Play a scene to its end; where there is no comparison yet, start one with four scenes first.",
                "watched",
                "compare",
                VIDEOS,
            ),
            LessonTask("Vote on that scene before the names show.", "voted", "compare", VIDEOS),
        ),
        "Six: a coin falls six times the same way, either way, in 2 × ½⁶ = 3 % of all tries; five times in 6 %. "
        "{vote} {differ}",
        "Only scenes in which two methods differ tell them apart, and one must win six of six to be convincing.",
        (),
    ),
)
