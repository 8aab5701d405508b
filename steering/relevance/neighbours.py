"""The nearest frames of every frame, for many heads: the one distance computation that every k-NN score rests on.

Distances come from one float32 matrix product per head on centred unit vectors, so that rounding is relative to the
heads' spread and not to 1. Query frames whose nearest neighbour is so near that float32 could matter are done again
in float64. One partition at the largest depth serves every smaller k; ties are broken by the lower frame index.

Neighbours depend neither on the target, nor on k, the frames that count, or the permutation, and a bootstrap only
changes how often each counts: see `steering.relevance.regression` and `resampling`. SPARE neighbours beyond the
largest k are kept, so that k are left when an episode is taken out.

Cost: 20 episodes of 60 frames at 128 heads of 32 dims take about 0.25 s on two idle cores; time grows with frames² ×
heads. Memory: 6 bytes for each head, frame and neighbour kept; while searching, BLOCK_BYTES (or 32 MB where distances
are mirrored) and a few times one head's outputs a thread; and 8 bytes for every pair of frames of one episode.
Measured at π0's size (288 heads of 256 dims) with 20 episodes of 300 frames: 670 MB kept, 710 MB at the peak, 36 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy.spatial.distance import cdist

from steering.errors import InputError
from steering.progress import Progress
from steering.relevance import folds
from steering.relevance.threads import for_each
from steering.types import Activations, Neighbours

SPARE = 24
DEPTH = 40 + SPARE  # 40 is the largest k of the paper
WEIGHT_OFFSET = 1e-8
BLOCK_BYTES = 2**21  # a block of distances stays near a core; with smaller ones, threads wait for each other
_DIMS_TO_MIRROR = 64
_MOST_BYTES_TO_MIRROR = 2**25  # a thread's; 2 896 frames
_NEAR = 1e-4  # of the mean distance: float32 keeps three digits there
_ROUNDING = 1e-14  # of a cosine in float64

Block = tuple[slice, np.ndarray]
Found = tuple[np.ndarray, np.ndarray]


def find(
    activations: Activations,
    baselines: dict[str, np.ndarray],
    depth: int = DEPTH,
    progress: Progress | None = None,
    *,
    of_heads: bool = True,
) -> Neighbours:
    """The neighbours of every frame in every head's output (unless not `of_heads`), and in every baseline's features.

    baselines: name -> float [frame, dim], compared by Euclidean distance. depth: how many neighbours, at least the
    largest k that will be asked for. Where fewer frames may predict a frame, the rest have infinite distance.
    """
    progress = progress or Progress()
    outputs, episode, frame = activations.outputs, activations.episode, activations.frame
    folds.check(episode, frame, 1, "k-NN")
    depth = min(depth, folds.most_training_frames(episode, frame))
    stacks, layers, heads = outputs.shape[1:4]
    layers = layers if of_heads else 0
    flat = outputs[:, :, :layers].reshape(len(outputs), stacks * layers * heads, outputs.shape[-1])
    units = flat.shape[1] + len(baselines)
    order = np.empty((units, len(flat), depth), row_type(len(flat)))
    distance = np.empty(order.shape, np.float32)

    def keep(predictors: np.ndarray, nearest_frames: np.ndarray, their_distance: np.ndarray) -> None:
        order[predictors], distance[predictors] = nearest_frames, their_distance

    for_each_by_cosine(flat, episode, frame, depth, keep, progress)
    for unit, feature in enumerate(baselines.values(), start=flat.shape[1]):
        order[unit], distance[unit] = nearest_by_euclid(feature, episode, frame, depth)
    return Neighbours(
        order, distance, (stacks, layers, heads), tuple(baselines), episode, frame, activations.shape.names
    )


def for_each_by_cosine(
    features: np.ndarray,
    episode: np.ndarray,
    frame: np.ndarray,
    depth: int,
    take: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    progress: Progress,
) -> None:
    """Call `take(predictors, order, distance)` for every feature set, from several threads.

    features: float [frame, predictor, dim], any units. predictors: int, those that these neighbours are of: one, or
    all that are zero throughout and so all alike. order, distance: rows of the nearest frames that may predict each
    frame and how far they are, [frame, depth]; the caller's only during the call. A zero vector has distance 1 to
    everything (scikit-learn's convention).
    """
    check_finite(features)
    blocks = list(_blocks(episode, frame))
    alive = features.any((0, 2))
    searched = [*np.flatnonzero(alive)[:, None], *([np.flatnonzero(~alive)] if not alive.all() else [])]

    def one(number: int) -> None:
        order = np.empty((len(features), depth), row_type(len(features)))
        distance = np.empty(order.shape, np.float32)
        _search(features[:, searched[number][0]], blocks, order, distance)
        take(searched[number], order, distance)

    for_each(len(searched), one, progress, "Heads whose nearest frames are known")


def of_rows(features: np.ndarray, rows: np.ndarray, left_out: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest frames by cosine of some query frames alone, and their distances; each [row, depth].

    features: float [frame, dim]. rows: int [row]. left_out: bool [row, frame], frames that may not predict a query.
    """
    unit = unit_vectors(features)
    left, right, mean_distance = _factors(unit)
    block = left[rows] @ right
    block[left_out] = np.inf
    return _nearest_exact(unit, unit[rows], block, depth, mean_distance)


def nearest_by_euclid(features: np.ndarray, episode: np.ndarray, frame: np.ndarray, depth: int) -> Found:
    """Nearest frames of one feature set, float [frame, dim], and their Euclidean distances; each [frame, depth]."""
    wide = features.astype(np.float64)
    order = np.empty((len(wide), depth), row_type(len(wide)))
    distance = np.empty((len(wide), depth), np.float32)
    for rows, left_out in _blocks(episode, frame):
        squared = cdist(wide[rows], wide, "sqeuclidean")
        squared.ravel()[left_out] = np.inf
        order[rows], found = nearest(squared, depth)
        distance[rows] = np.sqrt(found)
    return order, distance


def nearest(distance: np.ndarray, k: int) -> Found:
    """Columns of the `k` smallest of each row, by distance, ties by the lower column, and those values; [row, k].

    Equal to the first k columns of a stable argsort, in a fraction of its time: of more than k groups of columns k have
    a minimum up to some bound, so at least k columns lie within it, and only those within are sorted. Below 0, where
    rounding may put a distance, counts as 0.
    """
    rows, columns = distance.shape
    minima = distance
    while minima.shape[1] >= 5 * k:  # halve the columns: groups of two, four, ...
        half = minima.shape[1] // 2
        minima = np.minimum(minima[:, :half], minima[:, half : 2 * half])
    minima = np.partition(minima, k - 1, axis=1)
    within = np.flatnonzero(distance <= minima[:, k - 1 : k])
    number = np.diff(np.searchsorted(within, np.arange(rows + 1) * columns))[:, None]
    filled = np.arange(number.max()) < number  # [row, candidate]
    first = np.arange(rows)[:, None] * columns
    values = distance.ravel()[within]
    if distance.dtype != np.float32:
        padded, places = np.full(filled.shape, np.inf), np.zeros(filled.shape, np.int64)
        padded[filled], places[filled] = np.maximum(values, 0), within
        by_value = np.argsort(padded, axis=1, kind="stable")[:, :k]  # candidates come first, so ties go to them
        return np.take_along_axis(places, by_value, 1) - first, np.take_along_axis(padded, by_value, 1)
    candidates = np.empty((len(within), 2), "<u4")  # as one number: value above, place below
    candidates[:, 0] = within
    np.maximum(values.view(np.int32), 0, out=candidates[:, 1], casting="unsafe")  # positive floats sort like their bits
    keys = np.full(filled.shape, np.iinfo(np.uint64).max, "<u8")
    keys[filled] = candidates.view("<u8")[:, 0]
    keys.sort(axis=1)
    places_and_values = np.ascontiguousarray(keys[:, :k]).view("<u4").reshape(rows, k, 2)
    return places_and_values[..., 0] - first, np.ascontiguousarray(places_and_values[..., 1]).view(np.float32)


def unit_vectors(features: np.ndarray) -> np.ndarray:
    """float64, `features` divided by their length along the last axis; zero vectors stay zero."""
    wide = features.astype(np.float64)
    length = np.sqrt(np.einsum("...d,...d->...", wide, wide))[..., None]
    wide /= np.where(length == 0, 1, length)
    return wide


def check_ks(ks: Sequence[int], episode: np.ndarray, frame: np.ndarray) -> None:
    """Raise InputError unless every k is a positive whole number that every query frame has neighbours for."""
    if not ks or any(int(k) != k or k < 1 for k in ks):
        raise InputError(f"Expected at least one k, each a whole number from 1 up, got {tuple(ks)}.")
    folds.check(episode, frame, int(max(ks)), f"k = {int(max(ks))}")


def check_finite(features: np.ndarray) -> None:
    """Raise InputError where a head's output, float [frame, head, dim], holds NaN or infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = features.sum(axis=(0, 2), dtype=np.float64)  # one pass; NaN and infinity both show in a sum
    bad = np.flatnonzero(~np.isfinite(sums))
    if len(bad):
        raise InputError(
            f"Expected finite head outputs, got NaN or infinity in {len(bad)} of {features.shape[1]} heads. "
            "Capture the activations again, in float32."
        )


def row_type(count: int) -> type[np.unsignedinteger] | type[np.signedinteger]:
    """The smallest type that numbers `count` frames."""
    return np.uint16 if count <= 65_535 else np.int32


def _search(features: np.ndarray, blocks: Sequence[Block], order: np.ndarray, distance: np.ndarray) -> None:
    """Write the neighbours of one feature set, float [frame, dim], into `order` and `distance`, [frame, depth]."""
    unit, depth = unit_vectors(features), order.shape[1]
    left, right, mean_distance = _factors(unit)
    for (rows, left_out), block in zip(blocks, _distances(left, right, blocks), strict=True):
        block.ravel()[left_out] = np.inf
        order[rows], distance[rows] = _nearest_exact(unit, unit[rows], block, depth, mean_distance)


def _nearest_exact(unit: np.ndarray, asked: np.ndarray, block: np.ndarray, depth: int, mean_distance: float) -> Found:
    """`nearest` of a float32 block of cosine distances, in float64 where the nearest frame is very near.

    unit: float64 [frame, dim], unit vectors; asked: those of the block's rows.
    """
    order, distance = nearest(block, depth)
    near = np.flatnonzero(distance[:, 0] < max(_NEAR * mean_distance, 100 * WEIGHT_OFFSET))
    if len(near):
        exact = 1 - asked[near] @ unit.T
        exact[exact < _ROUNDING] = 0  # equal directions tie, whatever their rounding
        exact[np.isinf(block[near])] = np.inf
        order[near], distance[near] = nearest(exact, depth)
    return order, distance


def _distances(left: np.ndarray, right: np.ndarray, blocks: Sequence[Block]) -> Iterator[np.ndarray]:
    """Yield the distances of each block of query rows to all frames, float32 [row, frame], to be used at once.

    Distances are symmetric: where they fit and a product costs more than a copy, half of them are mirrored.
    """
    frames, dims = left.shape
    if dims < _DIMS_TO_MIRROR or 4 * frames**2 > _MOST_BYTES_TO_MIRROR:
        block = np.empty((blocks[0][0].stop, frames), np.float32)
        for rows, _ in blocks:
            yield np.matmul(left[rows], right, out=block[: rows.stop - rows.start])
        return
    whole = np.empty((frames, frames), np.float32)
    for rows, _ in blocks:
        np.matmul(left[rows], right[:, rows.start :], out=whole[rows, rows.start :])
        whole[rows.stop :, rows] = whole[rows, rows.stop :].T
        yield whole[rows]


def _blocks(episode: np.ndarray, frame: np.ndarray) -> Iterator[Block]:
    """Yield (query rows, flat positions in their distance block that may not be used)."""
    count = len(episode)
    size = max(1, BLOCK_BYTES // (4 * count))
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        yield rows, np.flatnonzero(folds.excluded(episode, frame, rows))


def _factors(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Float32 factors whose product is the cosine distance 1 − x·y, written around the mean c of the unit vectors.

    1 − x·y = u(x) + u(y) − (x−c)·(y−c) with u(x) = (1 + c·c) / 2 − c·x, computed in float64 before it is rounded.
    """
    frames, dims = unit.shape
    centre = unit.mean(0)
    offset = (1 + centre @ centre) / 2 - unit @ centre
    left = np.empty((frames, dims + 2), np.float32)
    np.subtract(unit, centre, out=left[:, :dims], casting="same_kind")
    left[:, dims], left[:, dims + 1] = offset, 1
    right = np.empty((dims + 2, frames), np.float32)
    np.negative(left[:, :dims].T, out=right[:dims])
    right[dims], right[dims + 1] = 1, offset
    return left, right, 2 * float(offset.mean())
