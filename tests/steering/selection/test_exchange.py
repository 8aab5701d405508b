from __future__ import annotations

import json

import numpy as np
import pytest

from steering.errors import InputError, NotFound
from steering.selection import exchange
from steering.types import Head, HeadShape, Origin, Selection

PI0 = HeadShape.pair(18, 8, 256)
ODD = HeadShape.pair(3, 5, 8)  # 30 heads: two unused bits in eight digits


def test_json_round_trip(tmp_path):
    selection = Selection((Head("vlm", 3, 5), Head("vlm", 11, 0), Head("expert", 17, 7)), "top 3", 20, 0.125)
    exchange.write(selection, tmp_path / "heads.json")
    assert exchange.read(tmp_path / "heads.json", PI0) == selection


def test_our_file_has_the_authors_keys():
    content = json.loads(exchange.to_json(Selection((Head("vlm", 3, 5), Head("vlm", 11, 0)), "manual", 10, 0.5)))
    assert content["trainable_head_indices"] == [[3, 5], [11, 0]]
    assert (content["best_k"], content["cv_mse"]) == (10, 0.5)
    assert content["unit_mode"] == "head"


def test_the_origin_travels_in_the_file_beside_the_authors_keys():
    origin = Origin("top_k", "knn", "default", "chunk", "approach", "demonstrations-1", "press_button", "2026-11-29")
    selection = Selection((Head("vlm", 3, 5),), "top 1", origin=origin)
    text = exchange.to_json(selection)
    words = "Best heads by k-NN (strict, predicts the chunk, approach frames) on press button, 2026-11-29"
    assert json.loads(text)["origin_in_words"] == words
    assert exchange.from_json(text, PI0) == selection
    assert (
        json.loads(exchange.to_json(Selection((Head("vlm", 3, 5),), "manual")))["origin_in_words"] == "origin unknown"
    )
    for other in ("theirs", {"rule": "theirs"}, {"rule": "top_k", "date": "yesterday"}, {"rule": "top_k", "name": 7}):
        assert exchange.from_json(json.dumps(json.loads(text) | {"origin": other}), PI0).origin is None


def test_a_file_of_the_authors_means_the_vlm_and_may_carry_more_keys():
    text = '{"trainable_head_indices": [[11, 0], [3, 5]], "best_k": 30, "cv_mse": 0.0421, "method": "knn"}'
    selection = exchange.from_json(text, PI0)
    assert selection == Selection((Head("vlm", 3, 5), Head("vlm", 11, 0)), "imported", 30, 0.0421)
    assert exchange.from_json(b'{"trainable_head_indices": [[0, 0]]}', PI0).best_k is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "trainable_head_indices"),
        ('{"heads": []}', "trainable_head_indices"),
        ('{"trainable_head_indices": []}', "No head"),
        ('{"trainable_head_indices": [[18, 0]]}', "another policy"),
        ('{"trainable_head_indices": [[0, -1]]}', "another policy"),
        ('{"trainable_head_indices": [[0, 0], [0, 0]]}', "more than once"),
        ('{"trainable_head_indices": [[0, true]]}', "two whole numbers"),
        ('{"trainable_head_indices": [[0, 1.5]]}', "two whole numbers"),
        ('{"trainable_head_indices": [[0, 1, 2]]}', "two whole numbers"),
        ('{"trainable_head_indices": ["01"]}', "two whole numbers"),
        ('{"trainable_head_indices": [[0, 1]], "trainable_head_stacks": ["vision"]}', "vlm or expert"),
        ('{"trainable_head_indices": [[0, 1]], "trainable_head_stacks": [["vlm"]]}', "vlm or expert"),
        ('{"trainable_head_indices": [[0, 1]], "trainable_head_stacks": []}', "vlm or expert"),
        ('{"trainable_head_indices": [[0, 1]], "best_k": 2.5}', "best_k"),
        ('{"trainable_head_indices": [[0, 1]], "best_k": true}', "best_k"),
        ('{"trainable_head_indices": [[0, 1]], "cv_mse": NaN}', "cv_mse"),
        ('{"trainable_head_indices": [[0, 1]], "cv_mse": -1}', "cv_mse"),
        ('{"trainable_head_indices": [[0, 1]]}' + " " * exchange.MAX_BYTES, "at most"),
    ],
)
def test_hostile_or_wrong_files_are_worded_errors(text, words):
    with pytest.raises(InputError, match=words):
        exchange.from_json(text, PI0)


def test_missing_and_oversized_files(tmp_path):
    with pytest.raises(NotFound, match="no file"):
        exchange.read(tmp_path / "none.json", PI0)
    (tmp_path / "big.json").write_bytes(b" " * (exchange.MAX_BYTES + 10))
    with pytest.raises(InputError, match="at most"):
        exchange.read(tmp_path / "big.json", PI0)


def test_hex_has_72_digits_for_288_heads_and_a_fixed_bit_order():
    assert exchange.hex_digits(PI0) == 72
    assert exchange.to_hex([Head("vlm", 0, 0)], PI0) == "8" + "0" * 71
    assert exchange.to_hex([Head("vlm", 0, 7)], PI0) == "01" + "0" * 70
    assert exchange.to_hex([Head("expert", 0, 0)], PI0) == "0" * 36 + "8" + "0" * 35
    assert exchange.to_hex([Head("expert", 17, 7)], PI0) == "0" * 71 + "1"
    assert exchange.to_hex([], PI0) == "0" * 72


@pytest.mark.parametrize("shape", [PI0, ODD, HeadShape.pair(1, 1, 4)])
def test_hex_round_trip_of_random_sets(shape):
    generator = np.random.default_rng(0)
    heads = shape.all_heads()
    for count in range(len(heads) + 1):
        chosen = tuple(heads[i] for i in sorted(generator.choice(len(heads), count, replace=False)))
        digits = exchange.to_hex(chosen[::-1], shape)
        assert len(digits) == exchange.hex_digits(shape)
        assert exchange.from_hex(digits, shape) == exchange.from_hex(digits.upper(), shape) == chosen


@pytest.mark.parametrize(
    "digits", ["", "0" * 7, "0" * 9, "0x000000", "-0000000", "+1000000", "0000_000", " 0000000", "٠" * 8, "0000000\n"]
)
def test_hex_that_is_not_eight_digits_is_an_error(digits):
    with pytest.raises(InputError, match="8 hexadecimal digits"):
        exchange.from_hex(digits, ODD)


def test_hex_bits_beyond_the_last_head_are_an_error():
    assert exchange.from_hex("00000004", ODD) == (Head("expert", 2, 4),)
    for digits in ("00000002", "00000001", "ffffffff"):
        with pytest.raises(InputError, match="beyond the 30"):
            exchange.from_hex(digits, ODD)
    with pytest.raises(InputError, match="another policy"):
        exchange.to_hex([Head("vlm", 3, 0)], ODD)


def test_numbers_of_zero_and_whole_errors_are_read():
    text = '{"trainable_head_indices": [[0, 1]], "best_k": 0, "cv_mse": 0}'
    selection = exchange.from_json(text, PI0)
    assert (selection.best_k, selection.cv_mse) == (0, 0)
    assert exchange.from_json(text.replace('"cv_mse": 0', '"cv_mse": 0.0'), PI0).cv_mse == 0.0
    for wrong in ('"cv_mse": Infinity', '"best_k": -1', '"best_k": 0.0', '"cv_mse": "1"'):
        with pytest.raises(InputError, match="to be a (whole )?number from 0 up"):
            exchange.from_json('{"trainable_head_indices": [[0, 1]], ' + wrong + "}", PI0)


def test_a_file_of_the_largest_size_is_read_and_its_rule_is_cut(tmp_path):
    text = '{"trainable_head_indices": [[0, 1]], "rule": "' + "r" * 201 + '"}'
    full = text + " " * (exchange.MAX_BYTES - len(text))
    assert exchange.MAX_BYTES == 1024 * 1024 and exchange.from_json(full, PI0).rule == "r" * 200
    (tmp_path / "full.json").write_text(full)
    assert exchange.read(tmp_path / "full.json", PI0).heads == (Head("vlm", 0, 1),)
    for rule in ('""', "7", "null"):
        text = '{"trainable_head_indices": [[0, 1]], "rule": ' + rule + "}"
        assert exchange.from_json(text, PI0).rule == "imported"


def test_our_file_to_the_letter():
    text = exchange.to_json(Selection((Head("vlm", 3, 5),), "manual", None, 0.5))
    assert text.splitlines()[:4] == ["{", ' "trainable_head_indices": [', "  [", "   3,"]
    assert list(json.loads(text)) == [
        *("trainable_head_indices", "best_k", "cv_mse", "unit_mode", "trainable_head_stacks", "rule"),
        "origin_in_words",
    ]
