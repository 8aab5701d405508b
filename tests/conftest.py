"""Settings of every test: no network, no analytics, few threads; what a machine lacks is said, not passed over."""

import os
import shutil
from typing import Any

import pytest

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but the tests of the page stay together: they share servers, which take seconds to start."""
    from xdist.scheduler import LoadFileScheduling

    class ByRoom(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/app" if nodeid.startswith("tests/app/") else str(super()._split_scope(nodeid))

    return ByRoom(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if any(map(shutil.which, BROWSERS)):
        return
    skip = pytest.mark.skip(reason="no Chromium here; `make test` installs it where it may, else install it by hand")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(skip)
