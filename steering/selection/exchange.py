"""Head sets in files and links: the authors' selection JSON, and hexadecimal digits. Instant.

JSON, as the Robotic Steering release writes it, with keys of ours that it ignores:
`{"trainable_head_indices": [[layer, head], …], "best_k": k, "cv_mse": e, "unit_mode": "head",
"trainable_head_stacks": ["vlm", …], "rule": text}`, and, where it is known on what the set was chosen, its `origin`, in
fields and in words. A file without stacks means the VLM, which their training adapts.
Of their `unit_mode: layer` the file lists every head of the layers.

Link: one bit a head in the order stack, layer, head (each stack has as many as it has), the first head in the highest
bit of the first digit; 72 digits for the 288 heads of π0. Files and links come from anywhere: everything is
range-checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from steering.errors import InputError, NotFound
from steering.selection import report_file
from steering.selection.rules import manual
from steering.types import Head, HeadShape, Selection, origin_words
from steering.types.origin import origin_of_fields

MAX_BYTES = 1 << 20


def to_json(selection: Selection) -> str:
    """The selection as the text of a JSON file."""
    content: dict[str, Any] = {
        "trainable_head_indices": [[head.layer, head.head] for head in selection.heads],
        "best_k": selection.best_k,
        "cv_mse": selection.cv_mse,
        "unit_mode": "head",
        "trainable_head_stacks": [head.stack for head in selection.heads],
        "rule": selection.rule,
        "origin_in_words": origin_words(selection.origin),
    }
    if selection.origin:
        content["origin"] = asdict(selection.origin)
    return json.dumps(content, indent=1)


def from_json(text: str | bytes, shape: HeadShape) -> Selection:
    """The selection in the text of a JSON file, of the authors' or ours, checked against the policy's `shape`.

    Of a report of the page, or the data in one (`report_file`): its first head set.
    """
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if report_file.is_report(plain):
        return _of_report(report_file.document(plain), shape)
    if len(text) > MAX_BYTES:
        raise InputError(f"Expected a selection of at most {MAX_BYTES} bytes, got {len(text)}. Is it another file?")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected a selection in JSON, got text that is not JSON ({error}).") from None
    if isinstance(content, dict) and content.get("format") == report_file.FORMAT:
        return _of_report(report_file.checked(plain), shape)
    pairs = content.get("trainable_head_indices") if isinstance(content, dict) else None
    if not isinstance(pairs, list):
        raise InputError(
            'Expected a JSON object with "trainable_head_indices": [[layer, head], …], as the Robotic Steering '
            "release writes it; there is none."
        )
    stacks = content.get("trainable_head_stacks", ["vlm"] * len(pairs))
    if not isinstance(stacks, list) or len(stacks) != len(pairs) or any(stack not in shape.names for stack in stacks):
        raise InputError(
            f'Expected "trainable_head_stacks" to name {" or ".join(shape.names)} for each of the {len(pairs)} heads.'
        )
    heads = [_head(stack, pair) for stack, pair in zip(stacks, pairs, strict=True)]
    checked = manual(heads, shape)
    rule = content.get("rule")
    return Selection(
        heads=checked.heads,
        rule=rule[:200] if isinstance(rule, str) and rule else "imported",
        best_k=_number(content, "best_k", whole=True),
        cv_mse=_number(content, "cv_mse", whole=False),
        origin=origin_of_fields(content.get("origin")),
    )


def _of_report(content: dict[str, Any], shape: HeadShape) -> Selection:
    selections = content.get("selections")
    if not isinstance(selections, list) or not selections:
        raise InputError("No run of this report trained a head set, so it gives none back.")
    return from_json(json.dumps(selections[0]), shape)


def write(selection: Selection, path: Path) -> None:
    """Write the selection as a JSON file."""
    path.write_text(to_json(selection) + "\n", encoding="utf-8")


def read(path: Path, shape: HeadShape) -> Selection:
    """Read a selection from a JSON file, checked against the policy's `shape`."""
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    with path.open("rb") as file:
        return from_json(file.read(MAX_BYTES + 1), shape)


def to_hex(heads: Collection[Head], shape: HeadShape) -> str:
    """The head set, possibly empty, as lower-case hexadecimal digits, one bit a head."""
    chosen = set(shape.ordered(heads))
    bits = "".join("1" if head in chosen else "0" for head in shape.all_heads()).ljust(4 * hex_digits(shape), "0")
    return f"{int(bits, 2):0{hex_digits(shape)}x}"


def from_hex(digits: str, shape: HeadShape) -> tuple[Head, ...]:
    """The head set, possibly empty, that `digits` encode, in the order stack, layer, head."""
    expected = hex_digits(shape)
    if len(digits) != expected or not re.fullmatch("[0-9a-fA-F]+", digits):
        raise InputError(
            f"Expected {expected} hexadecimal digits for the {shape.count} heads of this policy, got "
            f"{len(digits)} characters. Was the link made for another policy?"
        )
    bits = f"{int(digits, 16):0{expected * 4}b}"
    heads = shape.all_heads()
    if "1" in bits[len(heads) :]:
        raise InputError(f"The head set names a head beyond the {len(heads)} of this policy. Copy the link again.")
    return tuple(head for head, bit in zip(heads, bits, strict=False) if bit == "1")


def hex_digits(shape: HeadShape) -> int:
    """Digits of an encoded head set of this policy."""
    return math.ceil(shape.count / 4)


def _head(stack: str, pair: Any) -> Head:
    if not (isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair)):
        raise InputError(f"Expected each head as [layer, head], two whole numbers, got {str(pair)[:60]}.")
    return Head(stack, *pair)


def _number(content: dict[str, Any], key: str, *, whole: bool) -> Any:
    """A finite number of at least 0, or None where the file has none."""
    value = content.get(key)
    if value is None:
        return None
    usable = type(value) is int or (not whole and type(value) is float and math.isfinite(value))
    if not usable or value < 0:
        raise InputError(
            f'Expected "{key}" to be a {"whole " if whole else ""}number from 0 up, got {str(value)[:60]}.'
        )
    return value
