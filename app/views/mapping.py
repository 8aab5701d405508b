"""An upload between arriving and being imported: what was recognised, the mapping as a form, and what came of it.

Pictures turn in the browser as the form says (static/upload.css), so a wrong turn is seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.answers.uploads import MOST_ROWS, Camera, Columns, NumberFeature, UploadCard
from app.views.health import health
from app.views.templates import Macros

HTML = Macros("mapping.html")

PHASES = ("reading", "unread", "inspected", "importing", "imported")
ROLES = (("", "Left out"), ("exterior", "Exterior"), ("wrist", "Wrist"), ("right_wrist", "Right wrist"))
TURNS = (("0", "Upright"), ("90", "Turn 90° right"), ("180", "Turn 180°"), ("270", "Turn 90° left"))


def upload_panel(card: UploadCard | None) -> Markup:
    """The panel below the drop zone; empty where nothing was sent."""
    return HTML.panel(card.phase, _body(card)) if card else Markup()


def _body(card: UploadCard) -> Markup:
    report = health(card.health) if card.health else Markup()
    if card.phase == "imported":
        labels = [head.label()[:1].upper() + head.label()[1:] for head in card.heads]
        return HTML.heads(card, labels) if card.heads else HTML.imported(card, report)
    if card.tasks:
        return HTML.activations(card, [(task, task) for task in card.tasks])
    if card.phase in ("reading", "unread") and card.health is None:
        return HTML.unread(card)
    cameras = [(camera, _roles(camera), TURNS) for camera in card.cameras]
    numbers = (
        ("state", "State", *_numbers(card.state, card.numbers)),
        ("action", "Action", *_numbers(card.action, card.numbers)),
    )
    return HTML.mapping(card, cameras, numbers, report)


def _roles(camera: Camera) -> list[tuple[str, str]]:
    """Roles that the camera may have, its own too where that is another."""
    return [*ROLES, *([(camera.role, camera.role)] if camera.role not in dict(ROLES) else [])]


Numbers = tuple[list[tuple[str, str]], list[tuple[str, str, str]], list[str]]


def _numbers(chosen: Sequence[Columns], numbers: Sequence[NumberFeature]) -> Numbers:
    """Features as options; rows of (label, feature, columns), one more than are used, so that another can be added;
    and what the dataset calls the columns of those that are used.
    """
    options = [("", "None"), *((one.name, f"{one.name} ({_shape(one.shape)})") for one in numbers)]
    used = [*chosen, Columns("", "")][:MOST_ROWS]
    rows = [("Feature" if i < len(chosen) else "And", one.feature, one.chosen) for i, one in enumerate(used)]
    names = {one.feature for one in chosen}
    told = [one for one in numbers if one.components and one.name in names]
    return options, rows, [f"{one.name}: {', '.join(one.components)}"[:400] for one in told]


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "1"
