"""Greedy choice of heads by what short trainings reach: the order, its bound, and that nothing is trained twice."""

import json

import numpy as np

from steering.evidence.greedy import greedy, remembered, short, split
from steering.types import FinetuneSettings


def test_each_step_adds_the_candidate_with_the_lowest_error_and_tries_one_a_layer():
    fall = np.array([[3.0, 1, 2], [1, 5, 4], [9, 9, 9]])
    movable = np.array([[True] * 3, [True] * 3, [False] * 3])
    worth = {(0, 0): 1.0, (1, 1): 3.0, (1, 2): 0.5, (0, 2): 2.0}
    tried = []

    def error(places):
        tried.append(places)
        return -sum(worth.get(place, 0) for place in places)

    assert greedy(fall, movable, 3, error) == ((0, 0), (0, 2), (1, 1))
    assert tried[:2] == [((0, 0),), ((1, 1),)], "the head of largest fall in each layer that can move an action"
    assert len(tried) == 6
    assert len(greedy(fall, movable, 6, error)) == 6


def test_eight_begin_with_four_and_a_killed_choice_goes_on(tmp_path):
    fall, movable, file = np.random.default_rng(0).random((4, 4)), np.ones((4, 4), bool), tmp_path / "tried.json"
    calls = []

    def make(places):
        calls.append(places)
        return float(sum(hash(place) % 97 for place in places) % 89)

    four = greedy(fall, movable, 4, remembered(file, make))
    before = len(calls)
    assert before == len(set(calls)) == len(json.loads(file.read_text())) == 16
    assert greedy(fall, movable, 4, remembered(file, make)) == four and len(calls) == before
    assert set(four) < set(greedy(fall, movable, 8, remembered(file, make)))
    assert len(calls) == len(set(calls))


def test_a_fifth_is_held_apart_and_trainings_are_short(demonstrations):
    training, apart = split(demonstrations)
    assert training.episodes + apart.episodes == demonstrations.episodes
    assert len(apart.episodes) == max(len(demonstrations.episodes) // 5, 1)
    settings = FinetuneSettings(steps=200, warmup_steps=20)
    assert (short(settings).steps, short(settings).warmup_steps) == (50, 10)
