"""What the open-loop command says of the errors that it prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from steering import pipeline
from steering.cli import main as cli
from steering.pipeline.heldout import HEADS_SAW
from steering.store import Store
from steering.types import Demonstrations, FinetuneSettings, Head, Selection

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
