"""What the open-loop command says of the errors that it prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.pipeline.heldout import HEADS_SAW
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, Head, Rollouts, Selection, StopRule

TINY = FinetuneSettings(steps=1, batch_size=2, rank=2, warmup_steps=1, noise_samples=1)


def test_open_loop_says_beside_an_error_what_flatters_it(
    tmp_path: Path,
    policy_folder: Path,
    demonstrations: Demonstrations,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(tmp_path)
    made = store.save("demonstrations", demonstrations)
    chosen = Selection((Head("vlm", 0, 1),), "top 1 of vlm by knn (paper)")
    scored = store.save("relevance", chosen, parents=[made])  # a stand-in: only its parents are read
    selection = store.save("selection", chosen, parents=[scored], params={"rule": "top_k"})
    trained = {"demonstrations_id": made, "settings": TINY, "policy": str(policy_folder)}
    steering = pipeline.finetune(store, method="steering", selection_id=selection, **trained)
    lora = pipeline.finetune(store, method="lora", **trained)
    words = ("--adapter", steering, "--adapter", lora, "--policy", str(policy_folder), "--store", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["steering", "open-loop", made, *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().out
    assert end.value.code == 0 and said.count(HEADS_SAW) == 1
    (line,) = (line for line in said.splitlines() if HEADS_SAW in line)
    assert line.startswith("Robotic Steering: ")


def test_evaluate_runs_the_methods_that_are_named_and_may_stop_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    params = {"policy": "embedded", "method": "lora"}
    made = store.save("adapter", Selection((Head("vlm", 0, 1),), "a stand-in"), params=params)
    asked: list[dict[str, Any]] = []

    def evaluated(opened: Store, **options: Any) -> str:
        asked.append(options)
        runs = []
        for method, won in (("zero_shot", np.zeros(8, bool)), ("lora", np.ones(8, bool))):
            steps, rule = np.full(8, 9, np.int32), StopRule(40, options["matters"])
            one = Rollouts(method, "press_button", (), tuple(range(8)), won, steps, may_stop=rule)
            runs.append(opened.save("rollouts", one, params={"method": method}))
        return pipeline.compare(opened, rollouts_ids=runs)

    monkeypatch.setattr(pipeline, "evaluate", evaluated)
    words = ("--adapter", "zero_shot", "--adapter", made, "--trials", "40", "--stop-early", "--matters", "0.15")
    monkeypatch.setattr(sys, "argv", ["steering", "evaluate", *words, "--store", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert asked[0]["adapters"] == {"zero_shot": None, "lora": made} and asked[0]["matters"] == 0.15
    assert "Stopped after 8 of at most 40 scenes: a difference is shown." in capsys.readouterr().out
