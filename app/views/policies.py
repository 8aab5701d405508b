"""The policy chooser that opens from the header's chip: what can be opened, what is open, and a field for a hub id."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.answers.policies import PolicyRow
from app.views.templates import Macros
from steering.types import HeadShape, PolicyCheck

HTML = Macros("policies.html")

CHOOSER = "policy-chooser"
LAYOUTS = {"transformers": "transformers' own layout", "lerobot": "lerobot's layout"}
FAMILIES = {"pi0": "π0", "pi05": "π0.5", "pi0_fast": "π0-FAST", "smolvla": "SmolVLA"}


def chooser(rows: Sequence[PolicyRow], folders: str, hub: bool = True) -> Markup:
    """The list and the field. folders: how the operator allows folders, said where there are none. hub: whether hub ids
    open here, so that there is a field for one.
    """
    has_folder = any(row.place == "folder" for row in rows)
    told = [(row, sizes(row.shape, row.parameters) if row.shape else "checked when it is opened") for row in rows]
    return HTML.chooser(CHOOSER, told, "" if has_folder else folders, hub)


def sizes(shape: HeadShape, parameters: int | None) -> str:
    """Grid of heads and number of parameters, in words."""
    count = "" if parameters is None else f", {number(parameters)} parameters"
    grids = [f"{one.layers} layers × {one.heads} heads" for one in shape.stacks]
    same = len(set(grids)) == 1 and len(grids) > 1
    return (f"{len(grids)} × {grids[0]}" if same else " and ".join(grids)) + count


def number(count: int) -> str:
    """A number of parameters as people say it: `4.1 million`."""
    return f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def checked(check: PolicyCheck | None) -> Markup:
    """What the check of the open policy found; empty where it was the first and needed none."""
    if check is None:
        return Markup()
    family = FAMILIES.get(check.family, check.family)
    layout = LAYOUTS.get(check.layout, check.layout)
    normalised = ["Its own statistics normalise states and actions."] if check.statistics == "own" else []
    lines = [
        f"Recognised: {family} in {layout}, {sizes(check.head_shape, check.parameters)}.",
        f"Memory: {check.placement}",
        *normalised,
        *check.notices,
    ]
    return HTML.checked(lines)
