"""What a run leaves behind: an ordinary PEFT adapter, or, of a full finetune, a checkpoint in the model's own format.

`PeftModel.from_pretrained(model, folder)` loads the one, `from_pretrained` of transformers' π0 the other, and
`steering.models.loading.load_policy(source, adapter=folder)` both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors.torch import save_model

from steering.models.checkpoint import WEIGHTS
from steering.models.policy import SteerablePolicy


def save(peft_model: PeftModel | None, policy: SteerablePolicy, folder: Path) -> None:
    """Write what is attached to the policy (`None`: all its weights) to `folder`."""
    if peft_model is None:
        config: Any = policy.model.config
        if hasattr(config, "save_pretrained"):
            config.save_pretrained(folder)
        save_model(policy.model, str(folder / WEIGHTS), metadata={"format": "pt"})
        return
    peft_model.peft_config["default"].base_model_name_or_path = policy.name
    peft_model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
