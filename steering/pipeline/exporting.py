"""A trained adapter as others load it: lerobot's, transformers' or openpi's layout, with everything it needs to run.

Nothing is loaded but one tensor at a time (`steering.export.weights`), so a full-size policy is exported on a laptop in
the time that its disk takes.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steering import hub
from steering.errors import InputError, unknown_name
from steering.pipeline import export_card
from steering.pipeline.demonstrations import MAPPING_FILE
from steering.pipeline.making import adapter_folder, load
from steering.progress import Progress
from steering.store import Store
from steering.types import METHOD_LABELS, Demonstrations, FinetuneResult, HeadShape, PolicyExport

if TYPE_CHECKING:
    from steering.export.robots import Carried
    from steering.export.weights import Adapter, Tensor
    from steering.models.checkpoint import Checkpoint

LAYOUTS = ("lerobot", "peft", "openpi")
CARD, ADAPTER = "README.md", "adapter_config.json"
PUBLISHED_HEADS = HeadShape.pair(18, 8, 256)
"""Of the only sizes that lerobot's and openpi's configurations name."""


def export_policy(
    store: Store,
    *,
    adapter_id: str,
    folder: Path | str,
    layout: str = "lerobot",
    merged: bool = False,
    progress: Progress = Progress(),
) -> Path:
    """Write a trained policy into a new or empty folder and return it.

    layout: one of LAYOUTS; openpi's has no adapters, so it is always merged, and `peft` merged is transformers' own
    folder. Statistics, cameras, the robot's gripper, the card and the head set go along. Raises InputError where the
    layout does not have this policy, or the folder is in use.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is in use; give an empty folder or a new name.")
    export = _Export(store, adapter_id, progress)
    merged = merged or layout == "openpi"
    export.check(layout, merged)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
        made = Path(work) / "policy"
        made.mkdir()
        if layout == "openpi":
            export.openpi(made)
        else:
            (export.lerobot if layout == "lerobot" else export.peft)(made, merged)
        export.describe(made, layout, merged)
        made.replace(target)
    return target


def package_policy(store: Store, *, adapter_id: str, progress: Progress = Progress()) -> str:
    """An adapter as one zip file to take away, in lerobot's layout where that has its policy, else as PEFT's.

    Of a policy in a folder of this machine it says the name alone. Made again once there are new results for the card.
    """
    export = _Export(store, adapter_id, progress, apart=True)
    layout = "lerobot"
    try:
        export.check(layout, merged=False)
    except InputError:
        layout = "peft"
        export.check(layout, merged=False)
    on_robot = export_card.trials_of(store, adapter_id)
    params = {"layout": layout, "results": export_card.results_of(store, adapter_id), "trials": on_robot}
    if done := store.find_made("policy_export", (adapter_id,), params):
        return done
    with store.new_folder("policy_export") as folder, tempfile.TemporaryDirectory() as work:
        made = Path(work) / "policy"
        made.mkdir()
        (export.lerobot if layout == "lerobot" else export.peft)(made, False)
        export.describe(made, layout, False)
        file = folder / f"{export.result.method}-{layout}.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(made.rglob("*")):
                archive.write(path, path.relative_to(made))
        made_of = PolicyExport(layout, file)
        return store.save("policy_export", made_of, parents=(adapter_id,), params=params, folder=folder)


def push_policy(folder: Path | str, repository: str, *, public: bool = False, token: str = "") -> str:
    """Upload what `export_policy` wrote to the hub; its address. token: as `hub.push` takes it."""
    place = Path(folder)
    if not (place / CARD).is_file() or not any((place / name).is_file() for name in ("config.json", ADAPTER)):
        raise InputError(f"Expected a folder that export-policy wrote; {place} has no card, or no policy.")
    return hub.push(place, repository, public=public, token=token)


def push_package(store: Store, export_id: str, repository: str, *, public: bool = False, token: str = "") -> str:
    """Upload what `package_policy` made to the hub; its address. token: as `hub.push` takes it."""
    made: PolicyExport = load(store, export_id, PolicyExport)
    store.check(export_id)
    with tempfile.TemporaryDirectory() as work:
        with zipfile.ZipFile(made.file) as archive:
            archive.extractall(work)
        return push_policy(work, repository, public=public, token=token)


class _Export:
    """One adapter with all that belongs to it."""

    def __init__(self, store: Store, adapter_id: str, progress: Progress, *, apart: bool = False) -> None:
        from steering.export.weights import open_adapter
        from steering.models.checkpoint import open_checkpoint
        from steering.models.families import family_of

        self.store, self.adapter_id, self.progress, self.apart = store, adapter_id, progress, apart
        self.manifest = store.manifest(adapter_id)
        self.result: FinetuneResult = load(store, adapter_id, FinetuneResult)
        self.adapter: Adapter = open_adapter(adapter_folder(store, adapter_id))
        self.demonstrations: Demonstrations = load(store, self.manifest.parents[0], Demonstrations)
        self.source = str(self.manifest.params.get("policy", "embedded"))
        self.checkpoint: Checkpoint = open_checkpoint(self.source)
        self.family = family_of(self.checkpoint)
        self.config: Any = self.family.config(self.checkpoint)

    def check(self, layout: str, merged: bool) -> None:
        """Raise InputError, in words, where the layout does not have this policy."""
        from steering.models.names import OPENPI, PUBLISHED

        family = self.checkpoint.family
        shape = self.family.layout(self.config).shape
        if layout == "peft" and family != "pi0":
            raise InputError(f"transformers has π0 and no {family}. Choose the layout lerobot or openpi.")
        if layout == "openpi" and family not in OPENPI:
            raise InputError(f"Only π0 and π0.5 are written in openpi's layout; this policy is a {family}.")
        if layout == "lerobot" and family not in PUBLISHED:
            raise InputError(f"Only π0, π0.5 and SmolVLA are written in lerobot's layout; this policy is a {family}.")
        if layout != "peft" and family in OPENPI and not shape.has_the_heads_of(PUBLISHED_HEADS):
            raise InputError(
                f"{layout}'s configurations name policies of 18 layers × 8 heads alone; this one has {shape.words()}. "
                "Choose the layout peft."
            )
        if not merged and not self.adapter.config:
            raise InputError("A full finetune has no adapter to write. Add --merged.")

    def lerobot(self, folder: Path, merged: bool) -> None:
        """lerobot's folder of a policy, or of an adapter over the policy that it was trained on."""
        from safetensors.torch import save_file

        from steering.export import lerobot, weights

        rename = _published(self.checkpoint.family, "model.")
        carried = self.carried()
        config = lerobot.policy_config(self.checkpoint.family, self.config, self.checkpoint.config, carried)
        if merged:
            self._write(folder, rename)
        else:
            config |= {"use_peft": True, "pretrained_path": self.base}
            adapter, tensors = weights.renamed_adapter(self.adapter, rename)
            adapter |= {"base_model_name_or_path": self.base, "auto_mapping": None}
            save_file(tensors, folder / weights.ADAPTER_WEIGHTS, {"format": "pt"})
            lerobot.write_json(folder / weights.ADAPTER_CONFIG, adapter)
        lerobot.write_json(folder / "config.json", config)
        lerobot.write_processors(folder, self.checkpoint.family, self.checkpoint.config, carried)
        training = self.demonstrations.split(self.manifest.params.get("heldout_episodes"))[0]
        run = lerobot.train_config(config, self.result.settings, self.demonstrations.name, training, carried)
        lerobot.write_json(folder / "train_config.json", run)

    def openpi(self, folder: Path) -> None:
        """openpi's PyTorch folder."""
        from steering.export import lerobot, openpi

        carried = self.carried()
        self._write(folder, _published(self.checkpoint.family, ""))
        config = openpi.policy_config(self.config, self.checkpoint.config, carried)
        lerobot.write_json(folder / "config.json", config)
        openpi.write_statistics(folder, carried)

    def peft(self, folder: Path, merged: bool) -> None:
        """A PEFT adapter over transformers' π0, or its whole folder."""
        from steering.models.checkpoint import WEIGHTS
        from steering.models.kept_statistics import write_statistics
        from steering.models.loading import write_processor
        from steering.models.pi0_checkpoint import TOKENIZER_FILES

        statistics = self.statistics()
        if not merged:
            shutil.copytree(self.adapter.folder, folder, dirs_exist_ok=True)
            write_statistics(folder, statistics)
            return
        for path in (found for pattern in TOKENIZER_FILES for found in self.checkpoint.folder.glob(pattern)):
            if not path.name.startswith(("config", WEIGHTS, "policy_")):
                shutil.copy(path, folder)
        self.config.save_pretrained(folder)
        write_processor(folder, self.config, statistics)
        self._write(folder, lambda name: name)

    def describe(self, folder: Path, layout: str, merged: bool) -> None:
        """The card and the head set."""
        from steering.export.card import model_card
        from steering.finetune.saving import plain
        from steering.selection import exchange

        selection = self.result.selection
        if selection is not None:
            exchange.write(selection, folder / "selection.json")
        library = "transformers" if layout == "peft" and merged else layout
        title = f"{METHOD_LABELS[self.result.method]} on {plain(self.base)}, {plain(self.demonstrations.name)}"
        said = export_card.sections(
            self.store, self.adapter_id, self.result, self.demonstrations, layout=layout, merged=merged
        )
        text = model_card(title, self.base, library, said, dict(self.manifest.versions))
        (folder / CARD).write_text(text, encoding="utf-8")

    @property
    def base(self) -> str:
        """The policy that it was trained on, as a hub id or a folder; of a folder the name where others read it."""
        here = self.apart and hub.named(self.source) is None
        return self.checkpoint.name if here else hub.shown(self.source)

    def statistics(self) -> Any:
        """Those that it was trained under."""
        from steering.models import lerobot_layout
        from steering.models.kept_statistics import read_statistics
        from steering.models.loading import fitting_statistics

        kept = read_statistics(self.adapter.folder)
        if kept is not None:
            return kept
        heldout = self.demonstrations.split(self.manifest.params.get("heldout_episodes"))[1]
        own, modes = self.family.statistics(self.checkpoint), lerobot_layout.modes(self.checkpoint)
        return fitting_statistics(own, self.demonstrations.without(heldout), self.source, modes)[0]

    def carried(self) -> Carried:
        """What goes along with the weights."""
        from steering.demonstrations import mapping as mappings
        from steering.export.robots import Carried, in_the_robots_units, slots_of
        from steering.models import lerobot_layout
        from steering.models.pi0_checkpoint import MAX_TEXT_TOKENS, TOKENIZER
        from steering.models.state_in_text import MAX_TEXT_TOKENS as WITH_STATE

        robot, first = self.demonstrations.columns, self.demonstrations.episodes[0]
        slots = slots_of(tuple(first.pictures_px), lerobot_layout.cameras(self.checkpoint))
        recorded = dict(robot.cameras)
        kept = self.store.folder(self.manifest.parents[0]) / MAPPING_FILE
        if kept.is_file():
            recorded = {role: camera.feature for role, camera in mappings.read(kept).cameras.items()}
        usual = WITH_STATE if self.checkpoint.family == "pi05" else MAX_TEXT_TOKENS
        return Carried(
            statistics=in_the_robots_units(self.statistics(), robot),
            modes=lerobot_layout.modes(self.checkpoint),
            robot=robot,
            slots=slots,
            recorded=recorded,
            size_px=int(self.config.vlm_config.vision_config.image_size),
            limit=int(lerobot_layout.tokenizer(self.checkpoint, TOKENIZER)[1] or usual),
        )

    def _write(self, folder: Path, rename: Callable[[str], str]) -> None:
        from steering.export import weights
        from steering.models.checkpoint import WEIGHTS
        from steering.models.names import OPENPI

        self.checkpoint.download(self.progress.part(0.0, 0.5))
        tensors: Sequence[Tensor] = weights.merged_tensors(self.checkpoint, self.adapter, rename)
        tensors = [*tensors, *(_missing(tensors, rename) if self.checkpoint.family in OPENPI else ())]
        weights.write(folder / WEIGHTS, tensors, self.progress.part(0.5, 1.0))


def _published(family: str, before: str) -> Callable[[str], str]:
    from steering.models.names import PUBLISHED, translated

    return lambda name: before + translated(name, PUBLISHED[family])


def _missing(tensors: Sequence[Tensor], rename: Callable[[str], str]) -> list[Tensor]:
    """The expert's word head as zeros, where the checkpoint has none and the layout wants one."""
    from steering.export.weights import EXPERT_WORDS, zeros

    shapes = {one.name: one.header.shape for one in tensors}
    words, width = (
        rename(name)
        for name in ("model.vlm.language_model.embed_tokens.weight", "model.dit.layers.0.self_attn.q_proj.weight")
    )
    name = rename(EXPERT_WORDS)
    return [] if name in shapes else [zeros(name, (shapes[words][0], shapes[width][1]))]
