"""Rows of Parquet tables, read within bounds: sizes are checked from the table's own footer before a column is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering.demonstrations.limits import Limits
from steering.errors import InputError
from steering.hub import refuse_pointer

BATCH = 512
MAGIC = b"PAR1"


def opened(path: Path, limits: Limits) -> Any:
    """The file, its footer read and its size checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    refuse_pointer(path)
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        rows = file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, error) from None
    if rows > limits.rows:
        raise InputError(f"{path.name} has {rows} rows; at most {limits.rows} are read. Split the dataset.")
    return file


def batches(
    file: Any, path: Path, columns: Sequence[str], limits: Limits, *, only: tuple[str, int] | None = None
) -> Iterator[Any]:
    """Record batches of the columns, in order; with `only`, rows whose column has that value.

    Groups of rows that cannot hold it by the table's own statistics are passed over.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = list(dict.fromkeys([*columns, only[0]] if only else columns))
    try:
        meta = file.metadata
        groups = [g for g in range(meta.num_row_groups) if only is None or _may_hold(meta.row_group(g), *only)]
        size = max((_bytes(meta.row_group(g), wanted) for g in groups), default=0)
        if size > limits.array_bytes:
            raise InputError(
                f"{path.name} has {size >> 20} MB in one group of rows; at most {limits.array_bytes >> 20} MB are "
                "read. Write the table with smaller groups."
            )
        for batch in file.iter_batches(BATCH, row_groups=groups, columns=wanted, use_threads=False):
            if only is not None:
                batch = batch.filter(pc.equal(batch.column(only[0]), only[1]))
            if batch.num_rows:
                yield batch.select(list(columns))
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, error) from None


def plain(column: Any, name: str, path: Path) -> np.ndarray:
    """A column of numbers or of equally long lists of numbers: [row, ...]."""
    import pyarrow as pa

    shape: list[int] = [len(column)]
    try:
        while (
            pa.types.is_list(column.type)
            or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)
        ):
            flat = column.flatten()
            if column.null_count or len(column) == 0 or len(flat) % len(column):
                raise InputError(f"{path.name}: the lists of {name} differ in length. Write the dataset again.")
            if not pa.types.is_fixed_size_list(column.type):
                lengths = np.diff(np.asarray(column.offsets))
                if (lengths != lengths[0]).any():
                    raise InputError(f"{path.name}: the lists of {name} differ in length. Write the dataset again.")
            shape.append(len(flat) // len(column))
            column = flat
        values = column.to_numpy(zero_copy_only=False)
    except (pa.ArrowException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged(path, error) from None
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path.name}: {name} holds {values.dtype} where numbers are expected.")
    return values.reshape([shape[0], *_product(shape)])


def _product(shape: list[int]) -> list[int]:
    """Row axes of nested lists: lengths of each level, the outermost first."""
    lengths, rows = [], shape[0]
    for inner in shape[1:]:
        lengths.append(inner)
        rows *= inner
    return lengths


def _may_hold(group: Any, column: str, value: int) -> bool:
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema == column and chunk.is_stats_set and chunk.statistics.has_min_max:
            return bool(chunk.statistics.min <= value <= chunk.statistics.max)
    return True


def _bytes(group: Any, columns: Sequence[str]) -> int:
    chunks = (group.column(index) for index in range(group.num_columns))
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] in columns)


def is_unfinished(path: Path) -> bool:
    """Whether a file begins as a Parquet table and has no footer, which is written last: lerobot's `finalize`."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            stream.seek(-min(4, path.stat().st_size), 2)
            return start == MAGIC and stream.read(4) != MAGIC
    except OSError:
        return False


def damaged(path: Path, error: Exception | None) -> InputError:
    """What to say of a table that cannot be read."""
    if is_unfinished(path):
        return InputError(
            f"{path.name} has no footer: the recording was ended before it was finalised, or copying it stopped. "
            "Copy the dataset again if it is whole where it was recorded; else its states and actions are lost: record "
            "those episodes again, and call `dataset.finalize()` before the program ends."
        )
    return InputError(
        f"{path.name} cannot be read as a Parquet table ({type(error).__name__}); it is damaged or cut short. "
        "Copy the dataset again."
    )
