"""Which policies a page may open, what a check finds, and that everything follows the policy in use."""

from __future__ import annotations

import importlib.util
import json
import shutil
from html import unescape
from pathlib import Path

import pytest

from app import questions
from app.policies import EMBEDDED_NAME, FOLDERS, Policies, allowed_roots
from app.questions.context import Context, open_context
from app.questions.head_sets import HeadSet
from app.tabs import policies as chooser
from steering import pipeline, policy_cache
from steering.errors import InputError, NotFound
from steering.manifest import Manifest
from steering.types import HeadShape, PolicyCheck

Samples = tuple[Path, dict[str, str]]
WIDE = "folder:sets/wide"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of policies: a π0 of 18 × 8 heads in lerobot's layout, one with too few files, and a way out."""
    folder = tmp_path_factory.mktemp("models")
    path = Path(__file__).parents[1] / "browser" / "published_policy.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(folder / "sets" / "wide")
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text(json.dumps({"type": "pi0"}))
    outside = tmp_path_factory.mktemp("outside") / "secret"
    shutil.copytree(folder / "sets" / "wide", outside)
    (folder / "link").symlink_to(outside)
    return folder


@pytest.fixture
def wide(context: Context, root: Path) -> Context:
    """A workbench that may open the folder."""
    return open_context(context.store, context.jobs, context.policy, (root,))


def opened(context: Context, root: Path, demonstrations_id: str) -> str:
    return pipeline.open_policy(context.store, policy=str(root / "sets" / "wide"), demonstrations_id=demonstrations_id)


def test_browsers_name_only_what_is_allowed(wide: Context, context: Context, root: Path) -> None:
    keys = [choice.key for choice in wide.policies.choices()]
    assert WIDE in keys and "folder:broken" in keys and "folder:link" not in keys and "embedded" in keys
    assert wide.policies.source_of(WIDE) == str(root / "sets" / "wide")
    wrong = (
        "folder:link",
        "folder:../outside",
        "folder:/etc",
        "/etc/passwd",
        "../x",
        "a/../../b",
        "x",
        "a/b/c",
        "..//x",
    )
    for key in wrong:
        with pytest.raises(NotFound):
            wide.policies.source_of(key)
        with pytest.raises(NotFound):
            wide.policies.open("o", key, "")
    with pytest.raises(NotFound, match=FOLDERS):
        context.policies.source_of(WIDE)  # the operator allows no folder there
    with pytest.raises(InputError, match="Name a policy"):
        wide.policies.open("o", " ", "")
    assert wide.jobs.submitted == []  # type: ignore[attr-defined]


def test_the_operator_names_folders(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    monkeypatch.delenv(FOLDERS, raising=False)
    assert allowed_roots() == ()
    monkeypatch.setenv(FOLDERS, f"{root}:{tmp_path / 'none'}")
    assert allowed_roots() == (root,)


def test_choosing_queues_a_check(wide: Context, samples: Samples, root: Path) -> None:
    wide.policies.open("o", "lerobot/pi0_base ", samples[1]["press_button"])
    wide.policies.open("o", WIDE, "")
    (first, hub), (_, folder) = wide.jobs.submitted  # type: ignore[attr-defined]
    assert first == "open_policy" and hub["policy"] == "hub:lerobot/pi0_base"
    assert hub["demonstrations_id"] == samples[1]["press_button"] and folder["policy"] == str(root / "sets" / "wide")
    assert not wide.policies.usable("lerobot/pi0_base") and not wide.policies.usable(WIDE)
    with wide.policies.using(WIDE):  # not checked yet: the first policy stays
        assert wide.policies.key == wide.policies.start_key and wide.size.head_shape.layers == 8


def test_a_check_says_what_it_found(wide: Context, samples: Samples, root: Path) -> None:
    said: list[str] = []
    from steering.progress import Progress

    found = pipeline.open_policy(
        wide.store,
        policy=str(root / "sets" / "wide"),
        demonstrations_id=samples[1]["place_cube_in_bowl"],
        progress=Progress(lambda report: said.append(report.message)),
    )
    check = wide.store.load(found)
    assert isinstance(check, PolicyCheck) and check.head_shape == HeadShape.pair(18, 8, 256)
    assert (check.family, check.layout, check.statistics) == ("pi0", "lerobot", "demonstrations")
    assert "the checkpoint has none" in check.notices[0] and "free memory" in check.placement
    assert any("18 layers × 8 heads" in line and "free memory" in line for line in said)
    assert any(line.startswith("Loading wide") for line in said)
    policy_cache.forget()


def test_what_cannot_be_opened_is_said(
    context: Context, root: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = str(root / "sets" / "wide")
    with pytest.raises(InputError, match=r"18 layers × 8 heads.*no normalisation.*Open demonstrations first"):
        pipeline.open_policy(context.store, policy=wide)
    from steering.models import memory

    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(InputError, match=r"18 layers × 8 heads.*free memory on cpu.*there are 0 MB"):
        pipeline.open_policy(context.store, policy=wide, demonstrations_id=samples[1]["press_button"])
    with pytest.raises(NotFound, match="weights"):
        pipeline.open_policy(context.store, policy=str(root / "broken"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NotFound, match="someone/nothing is not on this server's disk. This server works offline"):
        pipeline.open_policy(context.store, policy="someone/nothing")


def test_everything_follows_the_policy_in_use(wide: Context, samples: Samples, root: Path) -> None:
    demonstrations_id = samples[1]["place_cube_in_bowl"]
    opened(wide, root, demonstrations_id)
    policy_cache.forget()
    assert wide.policies.usable(WIDE) and questions.measures.relevance_id(wide, demonstrations_id)
    with wide.policies.using(WIDE):
        assert wide.size.head_shape == HeadShape.pair(18, 8, 256) and wide.policy == str(root / "sets" / "wide")
        assert (
            questions.measures.relevance_id(wide, demonstrations_id) is None
            and questions.heads.attention(wide, demonstrations_id, 0) is None
        )
        assert (
            questions.measures.captured(wide, demonstrations_id) is None
            and questions.comparison.trained(wide, demonstrations_id) == {}
        )
        questions.measures.find_heads(wide, demonstrations_id)
        head = questions.link.header_of(wide, [demonstrations_id, 0], HeadSet(), "")
        assert head.policy == "sets/wide" and head.query["policy"] == WIDE
    assert wide.jobs.submitted[-1][1]["policy"] == str(root / "sets" / "wide")  # type: ignore[attr-defined]
    assert wide.size.head_shape.layers == 8 and questions.comparison.trained(
        wide, demonstrations_id
    )  # and afterwards all is as before
    assert chooser.adopted(wide, [demonstrations_id, 0], HeadSet(), {}, "", WIDE)[:2] == [WIDE, None]
    first = chooser.adopted(wide, [demonstrations_id, 0], HeadSet(), {}, "", wide.policies.start_key)
    assert len(questions.head_sets.heads_of(wide, first[1])) == 20


def test_a_link_carries_the_policy(wide: Context, samples: Samples, root: Path) -> None:
    query = {"policy": WIDE}
    assert questions.link.policy_of(wide, query) == wide.policies.start_key  # nobody checked it here
    notes = questions.link.restore(wide, query, questions.link.Memory()).notes
    assert any("not open on this server" in note for note in notes)
    opened(wide, root, samples[1]["place_cube_in_bowl"])
    policy_cache.forget()
    assert (
        questions.link.policy_of(wide, query) == WIDE and questions.link.policy_of(wide, {}) == wide.policies.start_key
    )
    with wide.policies.using(WIDE):
        screen = questions.link.restore(wide, query, questions.link.Memory())
        assert screen.notes == () and screen.heads.digits is None
    assert questions.link.policy_of(wide, {"policy": "<script>" * 30}) == wide.policies.start_key


def test_the_chooser_lists_and_marks(wide: Context, samples: Samples, root: Path) -> None:
    shown, check = chooser.show(wide)
    assert shown.count('aria-current="true"') == 1 and "2 × 18 layers × 8 heads" in shown and check == ""
    assert str(root) not in shown  # browsers see no path of the server
    opened(wide, root, samples[1]["place_cube_in_bowl"])
    policy_cache.forget()
    with wide.policies.using(WIDE):
        _, check = chooser.show(wide)
    assert "lerobot's layout" in unescape(check) and "statistics of" in check


def test_samples_without_head_outputs_are_the_embedded_policys(context: Context) -> None:
    def scored(*parents: str, **params: str) -> Manifest:
        return Manifest("relevance-0123456789abcdef", "relevance", "", parents, params, None, {}, "")

    embedded, own = (Policies(context.store, context.jobs, source) for source in ("embedded", "somewhere"))
    left_out = scored("activations-0123456789abcdef", questions.demonstrations.open_set(context))
    assert embedded.made(left_out) and not own.made(left_out)
    unsaid = scored(questions.demonstrations.open_set(context))
    assert embedded.made(unsaid) and own.made(unsaid)
    assert own.made(scored(policy="somewhere")) and not own.made(scored(policy="embedded"))
    assert embedded.name(embedded.key) == EMBEDDED_NAME
