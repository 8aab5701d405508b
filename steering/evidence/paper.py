"""The paper's own numbers (Mitra et al., arXiv 2511.22697), for the tables that set the twin's beside them.

Percent of 40 trials a cell on a real Franka arm with π0 and 20 demonstrations, first LoRA, then Robotic Steering.
"""

from __future__ import annotations

from collections.abc import Mapping

SUCCESS: Mapping[str, tuple[float, float]] = {
    "place_marker_in_mug": (75.0, 80.0),
    "press_button": (45.0, 75.0),
    "pick_cube": (75.0, 90.0),
    "place_cube_in_bowl": (60.0, 85.0),
    "push_cup_to_bowl": (10.0, 17.5),
}
UNSEEN = (42.5, 65.0)
VARIATIONS: Mapping[str, tuple[float, float]] = {
    "lighting": (25.0, 47.5),
    "form": (22.5, 37.5),
    "distractors": (30.0, 40.0),
}
TRAIN_MIN = (239.0, 189.0)
PARAMETERS = (1786e6, 79e6)
"""22 times fewer; a later version counts 29 M to 15.8 M."""
