"""An upload between arriving and being imported: what was recognised, the mapping as a form, and what came of it.

Pictures turn in the browser as the form says (static/upload.css), so a wrong turn is seen at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.answers.uploads import MOST_ROWS, Camera, Columns, NumberFeature, UploadCard
from app.views.health import health
from app.views.markup import button, choice, segments, tag, text

PHASES = ("reading", "unread", "inspected", "importing", "imported")
ROLES = (("", "Left out"), ("exterior", "Exterior"), ("wrist", "Wrist"), ("right_wrist", "Right wrist"))
TURNS = (("0", "Upright"), ("90", "Turn 90° right"), ("180", "Turn 180°"), ("270", "Turn 90° left"))
CAMERAS_NEEDED = "The policy sees the exterior and the wrist camera; one that is missing is masked."


def upload_panel(card: UploadCard | None) -> str:
    """The panel below the drop zone; empty where nothing was sent."""
    if card is None:
        return ""
    if card.phase == "imported":
        body = _heads(card) if card.heads else _imported(card)
    elif card.phase in ("reading", "unread") and card.health is None and not card.tasks:
        body = _unread(card)
    elif card.tasks:
        body = _activations(card)
    else:
        body = _mapping(card)
    return f'<div class="wb-card wb-upload" data-testid="upload" data-phase="{text(card.phase)}">{body}</div>'


def _unread(card: UploadCard) -> str:
    if card.phase == "reading":
        return f"<p>Looking at <b>{text(card.name)}</b>. What it holds will show here.</p>"
    words = card.error or "It was not read to its end."
    again = button("Try again", "check", quiet=True) + button("Remove", "discard", quiet=True)
    return f'{_failed(f"{card.name} could not be used", words)}<div class="wb-buttons">{again}</div>'


def _failed(title: str, words: str) -> str:
    return f'<div class="wb-problem" role="alert"><b>{text(title)}</b><p>{text(words)}</p></div>'


def _imported(card: UploadCard) -> str:
    buttons = (
        button("Open", "open", card.made, primary=True, testid="open-imported")
        + button("Find heads", "find", card.made)
        + button("Correct the mapping", "check", quiet=True)
        + button("Done", "discard", quiet=True)
    )
    report = health(card.health) if card.health else ""
    return (
        f'<div class="wb-buttons wb-upload-head"><h2>{text(card.name)}: {card.episodes} '
        f"episode{'' if card.episodes == 1 else 's'} imported</h2>{buttons}</div>{report}"
    )


def _heads(card: UploadCard) -> str:
    """What a file of head outputs says: the best heads of each stack, and their file."""
    rows = "".join(f"<li>{text(head.label()[:1].upper() + head.label()[1:])}</li>" for head in card.heads)
    error = ""
    if card.errors is not None:
        known = f"guessing the mean action has {card.errors[1]:.4g}"
        error = f"<p>Their leave-one-episode-out error is {card.errors[0]:.4g}; {known}.</p>"
    keep = button("Keep the selection", "keep", primary=True, testid="keep-selection") + button(
        "Done", "discard", quiet=True
    )
    return (
        f"<h2>{text(card.name)}: scored</h2><p>The {len(card.heads)} heads whose outputs tell the action best:</p>"
        f'<ol class="wb-heads">{rows}</ol>{error}<div class="wb-buttons">{keep}</div>'
    )


def _activations(card: UploadCard) -> str:
    failed = _failed("Not imported", card.error) if card.error else ""
    tasks = choice("task", "Task", [(task, task) for task in card.tasks], card.tasks[0])
    buttons = button("Score the heads", "import", primary=True, disabled=card.phase == "importing", testid="import")
    return (
        f'{failed}<div class="wb-upload-head"><h2>{text(card.name)}</h2>{tag("Head outputs")}'
        "</div><p>A file of the Robotic Steering release: what every head said at each frame, and the action, without "
        "pictures. Its heads are scored as those of demonstrations are.</p>"
        f'<div class="wb-form">{tasks}{buttons}{button("Remove", "discard", quiet=True)}</div>'
    )


def _mapping(card: UploadCard) -> str:
    busy = card.phase in ("reading", "importing")
    failed = _failed("Not imported" if card.phase == "inspected" else "Not read", card.error) if card.error else ""
    known = tag(f"Recognised: {card.layout}", "good") if card.layout else tag("No known layout")
    usable = card.health is None or card.health.usable != "no"
    buttons = (
        button("Import", "import", primary=True, disabled=busy or not usable, testid="import")
        + button("Check again", "check", disabled=busy, testid="check")
        + button("Remove", "discard", quiet=True)
    )
    why = "".join(f"<li>{text(reason)}</li>" for reason in card.reasons)
    cameras = "".join(_camera(i, camera) for i, camera in enumerate(card.cameras))
    without = '<p class="wb-muted">The dataset has no pictures.</p>'
    hint = "" if usable else "<p>Correct what must be mended, then check again.</p>"
    return (
        f'{failed}<div class="wb-upload-head"><h2>{text(card.name)}</h2>{known}</div>'
        f'<ul class="wb-reasons" data-testid="reasons">{why}</ul><div class="wb-upload-body"><div>'
        f'<h4>Cameras</h4><p class="wb-muted">{CAMERAS_NEEDED}</p>'
        f'<div class="wb-mapped-cameras">{cameras or without}</div>{_SWAP}'
        f'<div class="wb-mapped">{_numbers("state", "State", card.state, card.numbers)}'
        f"{_numbers('action', 'Action', card.action, card.numbers)}</div>"
        f'<div class="wb-form wb-mapped-rest">{_gripper(card.gripper)}{_roles(card)}{_actions(card.absolute_actions)}'
        f"{_instruction(card)}{_rate(card)}{_episodes(card)}</div>"
        f'<div class="wb-buttons">{buttons}</div>{hint}</div>{health(card.health) if card.health else ""}</div>'
    )


def _camera(i: int, camera: Camera) -> str:
    roles = [*ROLES, *([(camera.role, camera.role)] if camera.role not in dict(ROLES) else [])]
    size = f"{camera.size[1]} × {camera.size[0]} px" if len(camera.size) == 2 else ""
    shown = f'<img src="{text(camera.url)}" alt="First frame of {text(camera.feature)}">' if camera.url else ""
    shown = f'<span class="wb-turned">{shown}</span>' if shown else f'<p class="wb-muted">{text(camera.words)}</p>'
    ticks = (("mirror", "Mirror", camera.mirror), ("bgr", "Swap red and blue", camera.bgr))
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}-{i}" value="yes"{" checked" if on else ""}>{label}</label>'
        for name, label, on in ticks
    )
    return (
        f'<figure class="wb-mapped-camera" data-reflect data-testid="camera"><div class="wb-frame">{shown}</div>'
        f"<figcaption><b>{text(camera.feature)}</b><small>{size}</small></figcaption>"
        + choice(f"role-{i}", "Is the camera", roles, camera.role)
        + choice(f"rotate-{i}", "Shown", TURNS, str(camera.rotate))
        + f'<div class="wb-ticks">{boxes}</div>{_both_orders(camera)}</figure>'
    )


def _both_orders(camera: Camera) -> str:
    """The picture as it is and with red and blue swapped, where the file does not say which is right."""
    if not (camera.either_order and camera.url):
        return ""
    both = "".join(
        f'<span><img src="{text(camera.url)}" alt="{alt}"{" data-swapped" if swapped else ""}>{label}</span>'
        for label, alt, swapped in (
            ("As stored", "The picture as it is stored", False),
            ("Swapped", "The picture with red and blue swapped", True),
        )
    )
    return f'<div class="wb-orders" data-testid="both-orders">{both}</div>'


def _numbers(what: str, label: str, chosen: Sequence[Columns], numbers: Sequence[NumberFeature]) -> str:
    """Rows of (feature, columns); one more than are used, so that another can be added."""
    options = [("", "None"), *((one.name, f"{one.name} ({_shape(one.shape)})") for one in numbers)]
    used = [*chosen, Columns("", "")][:MOST_ROWS]
    rows = "".join(
        '<div class="wb-columns" data-reflect>'
        + choice(f"{what}-{i}", "Feature" if i < len(chosen) else "And", options, one.feature)
        + _text(f"{what}-columns-{i}", "Columns", one.chosen, "all")
        + "</div>"
        for i, one in enumerate(used)
    )
    names = [f"{one.name}: {', '.join(one.components)}" for one in numbers if one.components and _uses(chosen, one)]
    note = "".join(f'<p class="wb-muted">{text(name[:400])}</p>' for name in names)
    return f'<fieldset class="wb-field"><legend>{text(label)}</legend>{rows}{note}</fieldset>'


def _uses(chosen: Iterable[Columns], feature: NumberFeature) -> bool:
    return any(one.feature == feature.name for one in chosen)


def _gripper(given: tuple[float, ...] | None) -> str:
    low, high = given or (0.0, 1.0)
    kinds = [("closes", "A larger value closes"), ("opens", "A larger value opens: turn it over")]
    return (
        '<div class="wb-gripper" data-reflect>'
        + segments("gripper", "Gripper", kinds, "closes" if given is None else "opens")
        + _text("gripper_low", "Low end", f"{low:g}", "", "decimal")
        + _text("gripper_high", "High end", f"{high:g}", "", "decimal")
        + "</div>"
    )


def _roles(card: UploadCard) -> str:
    """Which columns move the keyframes; by names, layouts and sizes unless said."""
    kinds = [("joints", "Joints"), ("pose", "A pose")]
    return (
        _text("grippers", "Grippers, in the action", card.grippers, "as said above")
        + _text("arms", "Arms, in the state", card.arms, "as said above")
        + segments("arms_are", "Arms are", kinds, card.arms_are)
    )


def _actions(absolute: bool) -> str:
    kinds = [("motions", "Motions"), ("positions", "Positions to reach")]
    return segments("actions", "Actions are", kinds, "positions" if absolute else "motions")


def _instruction(card: UploadCard) -> str:
    own = card.instructions[0] if card.instructions else "none: say what the robot does"
    more = f", and {len(card.instructions) - 1} more" if len(card.instructions) > 1 else ""
    return _text("instruction", "Instruction", card.instruction, f"{own}{more}", wide=True)


def _rate(card: UploadCard) -> str:
    known = card.health.rate_hz if card.health else None
    given = f"{card.rate_hz:g}" if card.rate_hz else ""
    return _text("rate_hz", "Frames a second", given, f"{known:g}" if known else "", "decimal")


def _episodes(card: UploadCard) -> str:
    note = ""
    if card.left_out:
        shown = ", ".join(map(str, card.left_out[:8])) + (" and more" if len(card.left_out) > 8 else "")
        note = f"<small>Without {text(shown)}, see the report.</small>"
    skip = (
        '<div class="wb-ticks"><label><input type="checkbox" name="skip_unreadable" value="yes">'
        "Skip episodes that cannot be read</label></div>"
    )
    return _text("episodes", f"Episodes, of {card.episodes}", card.chosen, "all", note=note) + skip


def _text(
    name: str, label: str, value: str, placeholder: str, mode: str = "text", *, wide: bool = False, note: str = ""
) -> str:
    look = "wb-field wb-wide" if wide else "wb-field"
    return (
        f'<label class="{look}"><span>{text(label)} {note}</span><input type="text" name="{text(name)}" '
        f'inputmode="{mode}" value="{text(value)}" placeholder="{text(placeholder)}" autocomplete="off" '
        'spellcheck="false"></label>'
    )


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "1"


_SWAP = (
    '<svg width="0" height="0" class="wb-hidden" aria-hidden="true"><filter id="wb-swap" '
    'color-interpolation-filters="sRGB"><feColorMatrix values="0 0 1 0 0 0 1 0 0 0 1 0 0 0 0 0 0 0 1 0"/></filter>'
    "</svg>"
)
