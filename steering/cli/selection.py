"""Choose heads on the command line: by rule, by hand, from a file or link, from other sets; and what a set is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from steering import pipeline
from steering.cli.frame import (
    STORE,
    Line,
    PolicyOption,
    SeedOption,
    StoreOption,
    app,
    open_folder,
    print_json,
    summary,
)
from steering.errors import InputError
from steering.progress import Progress
from steering.store import Store
from steering.types import PAPER_SET_SIZE, Head, HeadShape, Relevance, Selection, origin_words, p_words

RelevanceId = Annotated[str, typer.Argument(help="Id of the relevance.")]
HeadOption = Annotated[
    list[str] | None, typer.Option("--head", help="A head as STACK.LAYER.HEAD, e.g. vlm.3.5; repeatable.")
]
HexOption = Annotated[str | None, typer.Option("--hex", help="A head set as in a share link: 72 digits for 288 heads.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the set here, in the keys of the authors' release.")
]


@app.command()
def select(
    relevance: RelevanceId,
    rule: Annotated[
        str, typer.Option(help=". ".join(f"{name}: {text}" for name, text in pipeline.RULES.items()))
    ] = "top_k",
    count: Annotated[int, typer.Option(help="Number of heads.")] = PAPER_SET_SIZE,
    stack: Annotated[list[str] | None, typer.Option(help="vlm or expert; may be given twice.")] = None,
    head: HeadOption = None,
    digits: HexOption = None,
    file: Annotated[Path | None, typer.Option("--from", help="A selection JSON, of the authors or ours.")] = None,
    alpha: Annotated[float, typer.Option(help="above_null: family-wise p-values below this.")] = 0.05,
    parameters: Annotated[int | None, typer.Option(help="budget: trainable parameters at most.")] = None,
    rank: Annotated[int | None, typer.Option(help="budget: rank of the adapters that are counted.")] = None,
    other: Annotated[str | None, typer.Option(help="other_task: id of the other task's relevance.")] = None,
    origin: Annotated[
        str, typer.Option(help="Heads by hand: where they come from, as a link of the page says it.")
    ] = "",
    out: JsonOption = None,
    policy: PolicyOption = "embedded",
    seed: SeedOption = 0,
    store: StoreOption = STORE,
) -> None:
    """Choose heads by a rule, or by hand with --head, --hex or --from."""
    opened = open_folder(store)
    by_hand = head is not None or digits is not None
    if by_hand and file is not None:
        raise InputError("Heads are given twice, by --from and by --head or --hex. Give one of them.")
    if file is not None:
        _show(opened, pipeline.import_selection(opened, file, relevance_id=relevance), relevance, out)
        return
    with Line() as line:
        made = pipeline.select(
            opened,
            relevance_id=relevance,
            rule="manual" if by_hand else rule,
            count=count,
            stacks=tuple(stack) if stack else None,
            heads=[(one.stack, one.layer, one.head) for one in _given(opened, relevance, head, digits)],
            seed=seed,
            alpha=alpha,
            parameters=parameters,
            settings={"rank": rank} if rank is not None else None,
            policy=policy,
            other_id=other,
            origin=origin,
            progress=Progress(line),
        )
    _show(opened, made, relevance, out)


@app.command()
def combine(
    operation: Annotated[str, typer.Argument(help="shared, union, or difference: the first without the others.")],
    selections: Annotated[list[str], typer.Argument(help="Ids of two selections or more.")],
    out: JsonOption = None,
    store: StoreOption = STORE,
) -> None:
    """Make one head set of several."""
    opened = open_folder(store)
    made = pipeline.combine(opened, selection_ids=selections, operation=operation)
    combined = pipeline.selection_of(opened, made)
    if out is not None:
        _write(combined, out)
    print_json({**summary(opened, made), **_heads(combined)})


@app.command()
def overlap(
    selections: Annotated[list[str], typer.Argument(help="Ids of two selections or more.")],
    store: StoreOption = STORE,
) -> None:
    """What every two head sets share, beside random sets of their sizes."""
    found = pipeline.overlap(open_folder(store), selection_ids=selections)
    for one in found:
        print(
            f"{one.names[0]} and {one.names[1]}: {len(one.shared)} shared of {one.sizes[0]} and {one.sizes[1]} "
            f"(by chance {one.expected:.1f}, p {p_words(one.p)}); Jaccard {one.jaccard:.2f} "
            f"(by chance {one.expected_jaccard:.2f})"
        )
    print_json([{**vars(one), "shared": [head.label() for head in one.shared]} for one in found])


@app.command("what-if")
def what_if(
    relevance: RelevanceId,
    head: HeadOption = None,
    digits: HexOption = None,
    selection: Annotated[str | None, typer.Option(help="Id of a selection.")] = None,
    store: StoreOption = STORE,
) -> None:
    """Held-out error of any head set, its heads' outputs concatenated, on what the relevance was asked."""
    opened = open_folder(store)
    heads: Sequence[Head] = _given(opened, relevance, head, digits)
    if selection is not None:
        chosen = opened.load(selection)
        if not isinstance(chosen, Selection):
            raise InputError(f"{selection} is no selection. Name one, or heads by --head or --hex.")
        heads = (*heads, *chosen.heads)
    found = pipeline.held_out_error(opened, relevance_id=relevance, heads=tuple(dict.fromkeys(heads)))
    content: dict[str, Any] = {**vars(found), "error": found.error}
    print_json(content | {"heads": [head.label() for head in found.heads]})


@app.command()
def why(
    activations: Annotated[str, typer.Argument(help="Id of the activations.")],
    head: Annotated[str, typer.Option(help="A head as STACK.LAYER.HEAD, e.g. vlm.3.5.")],
    episode: Annotated[int, typer.Option(help="Episode of the query frame, from 0.")] = 0,
    frame: Annotated[int, typer.Option(help="The query frame, from 0.")] = 0,
    k: Annotated[int, typer.Option(help="Number of nearest frames.")] = 10,
    store: StoreOption = STORE,
) -> None:
    """Show why a head predicts what it does at a frame: the frames in which it says similar things."""
    [found] = pipeline.why(
        open_folder(store), activations_id=activations, head=head_named(head), episode=episode, frames=[frame], k=k
    )
    rows = zip(found.neighbour_episode, found.neighbour_frame, found.weight, found.distance, strict=True)
    print(f"{found.head.label()}, episode {found.episode}, frame {found.frame}")
    for near, at, weight, distance in rows:
        print(f"  episode {near:3d} frame {at:4d}  weight {weight:6.1%}  cosine distance {distance:.4g}")
    actions = {"predicted": found.predicted, "true": found.true}
    print_json({"names": found.names, **{name: values.astype(float).tolist() for name, values in actions.items()}})


def _given(store: Store, relevance_id: str, names: list[str] | None, digits: str | None) -> tuple[Head, ...]:
    """The heads that --head and --hex name, each once."""
    from steering.selection import exchange

    heads = tuple(head_named(name) for name in names or ())
    if digits is not None:
        heads += exchange.from_hex(digits, _shape(store, relevance_id))
    return tuple(dict.fromkeys(heads))


def head_named(name: str) -> Head:
    """A head as the command line writes it, STACK.LAYER.HEAD."""
    parts = name.split(".")
    if len(parts) != 3 or not all(part.isdigit() for part in parts[1:]):
        raise InputError(f"Expected a head as STACK.LAYER.HEAD such as vlm.3.5, got {name!r}.")
    return Head(parts[0], int(parts[1]), int(parts[2]))


def _shape(store: Store, relevance_id: str) -> HeadShape:
    relevance = store.load(relevance_id)
    if not isinstance(relevance, Relevance):
        raise InputError(f"Expected the id of a relevance, but {relevance_id} holds {type(relevance).__name__}.")
    return relevance.shape


def _show(store: Store, selection_id: str, relevance_id: str, out: Path | None) -> None:
    from steering.selection import exchange

    selection = pipeline.selection_of(store, selection_id)
    if out is not None:
        _write(selection, out)
    digits = exchange.to_hex(selection.heads, _shape(store, relevance_id))
    print_json({**summary(store, selection_id), **_heads(selection), "hex": digits})


def _heads(selection: Selection) -> dict[str, Any]:
    heads = [head.label() for head in selection.heads]
    origin = origin_words(selection.origin)
    return {"rule": selection.rule, "origin": origin, "heads": heads, "cv_mse": selection.cv_mse}


def _write(selection: Selection, out: Path) -> None:
    from steering.selection import exchange

    out.parent.mkdir(parents=True, exist_ok=True)
    exchange.write(selection, out)
