"""The live driving panel: both cameras, what is known of the try, the keys as buttons to hold, and what becomes of it.

The markup is drawn once a drive; `static/demonstrations/driving.js` fills in pictures and numbers. Every button to hold
carries its key, so the buttons are the legend too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.answers.driving import DriveCard
from app.views.markup import button, tag, text, words

CONTROL_HZ = 20.0
"""Steps a second that the browser asks for, those of the bench."""
_MOVE = (
    *(("turn_left", "Q", "↺", "Turn to the left"), ("away", "W", "↑", "Away from the camera")),
    *(("turn_right", "E", "↻", "Turn to the right"), ("left", "A", "←", "To the left")),
    *(("near", "S", "↓", "Towards the camera"), ("right", "D", "→", "To the right")),
)
_HEIGHT = (("up", "R", "↑", "Up"), ("down", "F", "↓", "Down"))
_TILT = (
    *(("tilt_away", "I", "↑", "Tilt away from the camera"), ("tilt_left", "J", "←", "Tilt to the left")),
    *(("tilt_near", "K", "↓", "Tilt towards the camera"), ("tilt_right", "L", "→", "Tilt to the right")),
)


def driving(card: DriveCard | None) -> dict[str, Any] | None:
    """What static/demonstrations/driving.js takes: {id, markup, rate, idle_s}; None where nobody drives."""
    if card is None:
        return None
    return {"id": card.id, "markup": driving_panel(card), "rate": CONTROL_HZ, "idle_s": card.idle_s}


def driving_panel(card: DriveCard) -> str:
    """The panel of a drive. [data-show] are filled in by the script, [data-hold] drive while they are held."""
    tags = "".join(tag(name) for name in card.variations)
    return (
        '<section class="wb-card wb-section wb-drive" data-testid="driving" aria-label="Driving by hand">'
        f'<header><h2>{words(card.task)}: <span data-show="instruction"></span></h2><div class="wb-tags">'
        f'{tags}<span class="wb-tag" data-show="scene"></span></div></header><div class="wb-drive-body">'
        f"{_view()}{_facts()}{_keys()}</div>{_buttons()}"
        '<p class="wb-bad-words" role="alert" data-show="words" data-testid="driving-words" hidden></p></section>'
    )


def _view() -> str:
    return (
        '<div class="wb-drive-view" tabindex="0" role="application" data-testid="driving-view" aria-label="Driving '
        'view. While it has the focus, the keys on the buttons beside it move the arm; Escape leaves it.">'
        '<canvas data-camera="exterior" width="384" height="384" role="img" aria-label="Exterior camera"></canvas>'
        '<p class="wb-drive-hint">Click here to drive</p><p class="wb-drive-verdict" data-show="verdict" '
        'role="status" data-testid="driving-verdict" hidden></p></div>'
    )


def _facts() -> str:
    rows = (("Step", "steps"), ("Gripper", "gripper"), ("Task", "success"), ("Kept", "kept"))
    listed = "".join(
        f'<div><dt>{label}</dt><dd data-show="{name}" data-testid="driving-{name}"></dd></div>' for label, name in rows
    )
    return (
        '<div class="wb-drive-facts"><figure><canvas data-camera="wrist" width="192" height="192" role="img" '
        f'aria-label="Wrist camera"></canvas><figcaption>Wrist</figcaption></figure><dl>{listed}</dl></div>'
    )


def _keys() -> str:
    gripper = '<button type="button" class="wb-key-button wb-wide-key" data-press="gripper"><span data-show="toggle">'
    return (
        '<div class="wb-drive-keys">'
        f"{_group('Move and turn', _MOVE, 'wb-keys-3')}{_group('Height', _HEIGHT, 'wb-keys-1')}"
        f"{_group('Tilt', _TILT, 'wb-keys-3')}"
        f'<div class="wb-drive-hand">{gripper}</span><kbd>Space</kbd></button>'
        '<label class="wb-field"><span>Speed <small>Shift: slow</small></span><span class="wb-slide"><input '
        'type="range" name="speed" min="10" max="100" step="5" value="60" aria-label="Speed in percent" '
        'data-testid="driving-speed"><output>60</output></span></label></div>'
        '<p class="wb-muted">Time runs only while you drive: let go to think. Hold the buttons, or their keys while '
        "the picture has the focus.</p></div>"
    )


def _group(label: str, keys: Sequence[tuple[str, str, str, str]], look: str) -> str:
    held = "".join(
        f'<button type="button" class="wb-key-button" data-hold="{name}" data-code="Key{key}" title="{text(says)}" '
        f'aria-label="{text(says)}"><span aria-hidden="true">{sign}</span><kbd>{key}</kbd></button>'
        for name, key, sign, says in keys
    )
    return f'<fieldset class="wb-drive-group {look}"><legend>{label}</legend><div>{held}</div></fieldset>'


def _buttons() -> str:
    def key(name: str) -> str:
        return f"<kbd>{name}</kbd></button>"

    keep = button("Keep this episode", primary=True, disabled=True, testid="driving-keep").replace("</button>", "")
    again = button("Try this scene again", testid="driving-again").replace("</button>", "")
    return (
        f'<div class="wb-buttons wb-drive-foot">{keep}{key("Enter")}'
        f"{button('Keep as a failure', testid='driving-failure')}{again}{key('Backspace')}"
        f"{button('Next scene', testid='driving-next')}"
        f'<span class="wb-drive-end">{button("Save the set", testid="driving-save", disabled=True)}'
        f"{button('Stop without saving', testid='driving-stop')}</span></div>"
    )
