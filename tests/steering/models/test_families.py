"""The registry: a family from outside loads by the same call, unknown ones are named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from steering import policy_cache
from steering.errors import InputError
from steering.models import families
from steering.models.families import Family, register
from steering.models.loading import load_policy
from steering.models.pi0 import PI0Policy
from steering.models.pi0_checkpoint import FAMILY
from steering.models.preprocessing import dataset_statistics, observe


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", dict(families.FAMILIES))


def test_a_family_from_outside(policy_folder, policy, demonstrations, tmp_path):
    class Mirrored(PI0Policy):
        def act(self, observation, noise):
            return -super().act(observation, noise)

    folder = shutil.copytree(policy_folder, tmp_path / "mirrored")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mirrored"}))
    with pytest.raises(InputError, match=r"\(pi0, .*smolvla\).*'mirrored'.*ADAPTERS.md"):
        load_policy(folder)
    register("mirrored", Family(Mirrored, FAMILY.config, FAMILY.model, FAMILY.statistics, FAMILY.preprocessor))
    loaded = load_policy(folder)
    observation = observe(demonstrations, np.array([0]), np.array([0]))
    noise = np.zeros((1, 4, 8), np.float32)
    np.testing.assert_array_equal(loaded.act(observation, noise), -policy.act(observation, noise))


def test_the_cache_keeps_the_weights_and_changes_the_statistics(policy_folder, demonstrations, tmp_path):
    folder = shutil.copytree(policy_folder, tmp_path / "bare")
    (folder / "processor_config.json").unlink()
    policy_cache.forget()
    with pytest.raises(InputError, match="statistics_from"):
        policy_cache.get(str(folder))
    told = []
    first = policy_cache.get(str(folder), None, demonstrations)
    half = type(demonstrations)("half", "", (), demonstrations.episodes[:2])
    progress = type("Told", (), {"report": lambda self, fraction, message: told.append(message)})()
    second = policy_cache.get(str(folder), None, half, progress)
    assert second.model is first.model and len(policy_cache._cache) == 1
    assert told == ["Normalised by the statistics of 'half' (2 episodes): the checkpoint has none."]
    for policy, demos in ((first, demonstrations), (second, half)):
        expected = dataset_statistics(demos.without(demos.split()[1])).actions_mean
        np.testing.assert_array_equal(policy.preprocessor.statistics.actions_mean, expected)
    with pytest.raises(InputError, match="statistics_from"):
        policy_cache.get(str(folder))  # not those of whoever asked last
    own = policy_cache.get(str(policy_folder), None, half)
    assert own.notices == () and own.preprocessor.statistics is own.own_statistics
    policy_cache.forget()
