"""The frozen dataclasses that cross the stages' boundaries, and the glossary of axis names.

Axis glossary, always in this order when several appear:

    episode  one demonstration or rollout
    frame    one control step within an episode (or within a flattened set of episodes)
    k        the number of neighbours of a k-NN score
    stack    one of the policy's, by `HeadShape.stacks`; of most policies 0 = VLM, 1 = action expert
    layer    decoder layer within a stack, 0 = nearest to the input
    head     query head within a layer
    camera   in the order of CAMERAS
    patch    image patch, row-major
    step     position within an action chunk
    dim      feature: head output, state or action component

Units stand in names (`_s`, `_m`, `_rad`, `_px`, `_hz`). Arrays are NumPy; nothing here imports torch.
"""

from steering.types.activations import TOKEN_GROUPS, Activations, Attention, FrameAttention, GainSweep
from steering.types.axes import (
    ACTION_NAMES,
    CAMERAS,
    PAPER_SET_SIZE,
    PHASES,
    STACK_LABELS,
    STACKS,
    STATE_NAMES,
    Head,
    HeadShape,
    Stack,
    in_order,
    stack_label,
    stacks_of,
)
from steering.types.demonstrations import IMITATED, Demonstrations, Episode, Observation, failures_words
from steering.types.finetuning import (
    CONTROL_LABELS,
    FFN_CHOICES,
    HEAD_RESTRICTED,
    METHOD_LABELS,
    METHODS,
    METHODS_OF_HEADS,
    PRECISIONS,
    FinetuneResult,
    FinetuneSettings,
)
from steering.types.origin import Origin, origin_of_word, origin_word, origin_words
from steering.types.policies import PolicyCheck, PolicyExport
from steering.types.relevance import HeadChange, Neighbours, RankAgreement, Relevance, Trust
from steering.types.robot import ARM_JOINTS, COLUMN_ROLES, Robot
from steering.types.rollouts import (
    FAILURES,
    INSTRUCTIONS,
    Cell,
    CellTest,
    Comparison,
    OpenLoop,
    OpenLoopComparison,
    Outcomes,
    PairedTest,
    Rollouts,
    Stopping,
    StopRule,
    SuccessRate,
    p_number,
    p_words,
)
from steering.types.selection import (
    OutcomeGap,
    Overlap,
    Projection,
    RelevanceOverTime,
    Replication,
    ScoreByFrame,
    Selection,
    SetError,
    Why,
)
from steering.types.spread import Spread, spread_words
from steering.types.strength import StrengthSweep
from steering.types.surgery import SURGERY_LABELS, Surgery, SurgeryRun
from steering.types.trials import NO_STAGE, TRIAL_OUTCOMES, ProgressVerdict, Trial, TrialPlan, TrialSlot, Verdict

__all__ = [
    "ACTION_NAMES",
    "ARM_JOINTS",
    "CAMERAS",
    "COLUMN_ROLES",
    "CONTROL_LABELS",
    "FAILURES",
    "FFN_CHOICES",
    "HEAD_RESTRICTED",
    "IMITATED",
    "INSTRUCTIONS",
    "METHODS",
    "METHODS_OF_HEADS",
    "METHOD_LABELS",
    "NO_STAGE",
    "PAPER_SET_SIZE",
    "PHASES",
    "PRECISIONS",
    "STACKS",
    "STACK_LABELS",
    "STATE_NAMES",
    "SURGERY_LABELS",
    "TOKEN_GROUPS",
    "TRIAL_OUTCOMES",
    "Activations",
    "Attention",
    "Cell",
    "CellTest",
    "Comparison",
    "Demonstrations",
    "Episode",
    "FinetuneResult",
    "FinetuneSettings",
    "FrameAttention",
    "GainSweep",
    "Head",
    "HeadChange",
    "HeadShape",
    "Neighbours",
    "Observation",
    "OpenLoop",
    "OpenLoopComparison",
    "Origin",
    "OutcomeGap",
    "Outcomes",
    "Overlap",
    "PairedTest",
    "PolicyCheck",
    "PolicyExport",
    "ProgressVerdict",
    "Projection",
    "RankAgreement",
    "Relevance",
    "RelevanceOverTime",
    "Replication",
    "Robot",
    "Rollouts",
    "ScoreByFrame",
    "Selection",
    "SetError",
    "Spread",
    "Stack",
    "StopRule",
    "Stopping",
    "StrengthSweep",
    "SuccessRate",
    "Surgery",
    "SurgeryRun",
    "Trial",
    "TrialPlan",
    "TrialSlot",
    "Trust",
    "Verdict",
    "Why",
    "failures_words",
    "in_order",
    "origin_of_word",
    "origin_word",
    "origin_words",
    "p_number",
    "p_words",
    "spread_words",
    "stack_label",
    "stacks_of",
]
