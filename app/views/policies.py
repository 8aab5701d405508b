"""The policy chooser that opens from the header's chip: what can be opened, what is open, and a field for a hub id."""

from __future__ import annotations

from collections.abc import Sequence

from app.answers.policies import PolicyRow
from app.views.markup import button, tag, text
from steering.types import HeadShape, PolicyCheck

CHOOSER = "policy-chooser"
LAYOUTS = {"transformers": "transformers' own layout", "lerobot": "lerobot's layout"}
FAMILIES = {"pi0": "π0", "pi05": "π0.5", "pi0_fast": "π0-FAST", "smolvla": "SmolVLA"}


def chooser(rows: Sequence[PolicyRow], folders: str, hub: bool = True) -> str:
    """The list and the field. folders: how the operator allows folders, said where there are none. hub: whether hub ids
    open here, so that there is a field for one.
    """
    has_folder = any(row.place == "folder" for row in rows)
    hint = "" if has_folder else f'<p class="wb-muted">{text(folders)}</p>'
    field = (
        '<div class="wb-form"><label class="wb-field wb-hub-field"><span>From the Hugging Face hub</span>'
        '<input type="text" name="hub" placeholder="lerobot/pi0_base" autocomplete="off" spellcheck="false" '
        'maxlength="200" data-testid="hub-id"></label>'
        f"{button('Check and open', 'open', testid='open-hub')}</div>"
    )
    return (
        '<div class="wb-policies" data-testid="policies"><header><h2>Which policy</h2>'
        f'<button type="button" class="wb-icon" popovertarget="{CHOOSER}" popovertargetaction="hide" '
        'aria-label="Close">✕</button></header>'
        "<p>Heads, finetuning and comparison use the policy that is open. Opening one checks what it is and whether it "
        "fits into memory, then loads it.</p>"
        f'<div class="wb-policy-list">{"".join(map(_row, rows))}</div>{hint}{field if hub else ""}</div>'
    )


def _row(row: PolicyRow) -> str:
    told = [sizes(row.shape, row.parameters)] if row.shape else ["checked when it is opened"]
    state = tag("open", "good") if row.used else button("Open", "open", row.key, quiet=True)
    return (
        f'<div class="wb-policy" data-policy="{text(row.key)}" aria-current="{"true" if row.used else "false"}">'
        f"<div><b>{text(row.name)}</b> {tag(row.place)}<p>{text('; '.join(told))}</p></div>{state}</div>"
    )


def sizes(shape: HeadShape, parameters: int | None) -> str:
    """Grid of heads and number of parameters, in words."""
    count = "" if parameters is None else f", {number(parameters)} parameters"
    grids = [f"{one.layers} layers × {one.heads} heads" for one in shape.stacks]
    same = len(set(grids)) == 1 and len(grids) > 1
    return (f"{len(grids)} × {grids[0]}" if same else " and ".join(grids)) + count


def number(count: int) -> str:
    """A number of parameters as people say it: `4.1 million`."""
    return f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def checked(check: PolicyCheck | None) -> str:
    """What the check of the open policy found; empty where it was the first and needed none."""
    if check is None:
        return ""
    family = FAMILIES.get(check.family, check.family)
    layout = LAYOUTS.get(check.layout, check.layout)
    normalised = ["Its own statistics normalise states and actions."] if check.statistics == "own" else []
    lines = (
        f"Recognised: {family} in {layout}, {sizes(check.head_shape, check.parameters)}.",
        f"Memory: {check.placement}",
        *normalised,
        *check.notices,
    )
    return (
        f'<ul class="wb-checked" data-testid="policy-check">{"".join(f"<li>{text(line)}</li>" for line in lines)}</ul>'
    )
