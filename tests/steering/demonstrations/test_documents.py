"""The documents of a dataset have the fields of what writes them, no more and no fewer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from steering.demonstrations import documents, health, mapping, sampling


@pytest.mark.parametrize(
    ("document", "written", "besides"),
    [
        (documents.CameraDocument, mapping.Camera, set()),
        (documents.ColumnsDocument, mapping.Columns, set()),
        (documents.MappingDocument, mapping.Mapping, set()),
        (documents.FeatureDocument, health.FeatureLine, set()),
        (documents.ProblemDocument, sampling.Problem, set()),
        (documents.ReportDocument, health.HealthReport, {"usable"}),
    ],
)
def test_a_document_has_the_fields_of_what_writes_it(document: Any, written: Any, besides: set[str]) -> None:
    assert set(document.__annotations__) == {field.name for field in dataclasses.fields(written)} | besides
