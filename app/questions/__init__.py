"""What can be asked, by subject: plain functions over one context, answered by dataclasses. No Gradio, no markup.

Reading takes milliseconds and imports neither torch nor MuJoCo; everything heavy is queued as a job, whose id is the
answer. Whose things are meant is known by who asks (`app.visitors`).
"""

from app.questions import (
    ahead,
    choosing,
    classes,
    comparison,
    demonstrations,
    exports,
    head_sets,
    heads,
    holdings,
    jobs,
    link,
    measures,
    policies,
    public,
    results,
    strength,
    surgery,
    training,
    trials,
    uploads,
)

__all__ = [
    "ahead",
    "choosing",
    "classes",
    "comparison",
    "demonstrations",
    "exports",
    "head_sets",
    "heads",
    "holdings",
    "jobs",
    "link",
    "measures",
    "policies",
    "public",
    "results",
    "strength",
    "surgery",
    "training",
    "trials",
    "uploads",
]
