"""Sizes read from the headers of a published checkpoint are those of the model that is built from it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steering.errors import InputError
from steering.finetune.plan import sizes_of_checkpoint, sizes_of_config, sizes_of_model
from steering.models.checkpoint import Checkpoint, open_checkpoint
from steering.models.families import family_of
from steering.models.smolvla import SmolVLAModel


def test_a_published_pi0_has_the_sizes_of_its_model(published_folder, narrow_pi0):
    checkpoint = open_checkpoint(published_folder)
    sizes = sizes_of_checkpoint(checkpoint)
    assert sizes == sizes_of_model(narrow_pi0) == sizes_of_config(family_of(checkpoint).config(checkpoint))
    assert (sizes.head_shape.layers, sizes.head_shape.heads, sizes.head_shape.head_dim) == (18, 8, 256)


def test_smolvla_has_the_sizes_of_its_model(smolvla_folder):
    checkpoint = open_checkpoint(smolvla_folder)
    assert sizes_of_checkpoint(checkpoint) == sizes_of_model(SmolVLAModel(family_of(checkpoint).config(checkpoint)))


def test_sizes_in_transformers_format_need_no_weights(tmp_path, narrow_pi0):
    narrow_pi0.config.save_pretrained(tmp_path)  # leaves out what PI0Config says anyway, such as max_state_dim
    checkpoint = open_checkpoint("embedded")
    saved = Checkpoint("narrow", tmp_path, {}, {}, ()).read_json("config.json")
    assert "max_state_dim" in checkpoint.config
    assert sizes_of_checkpoint(Checkpoint("narrow", tmp_path, saved, {}, ())) == sizes_of_model(narrow_pi0)


def test_what_cannot_be_sized_is_said(published_folder, tmp_path):
    empty = Checkpoint("mine", tmp_path, {"type": "pi0"}, {}, ())
    with pytest.raises(InputError, match="vlm stack of a pi0"):
        sizes_of_checkpoint(empty)
    with pytest.raises(InputError, match="sizes of a other"):
        sizes_of_checkpoint(Checkpoint("mine", tmp_path, {"type": "other"}, {}, ()))


def test_reading_sizes_loads_no_torch(smolvla_folder):
    code = (
        "import sys; from steering.finetune.plan import sizes_of_checkpoint; "
        "from steering.models.checkpoint import open_checkpoint; "
        f"sizes_of_checkpoint(open_checkpoint({str(smolvla_folder)!r})); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
