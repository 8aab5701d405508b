"""Names that vulture takes for unused, and why each stays; `make check` reads this beside the code. Nothing runs it.

vulture sees names, not who calls them: commands of the command line, what libraries look up by name, fields that are
stored, and what people import who build on this. Everything else that it reports is dead and goes.
"""

# ruff: noqa: B018

from typing import Any

name: Any = None

# The library's face: people who build on it call these.
name.__dir__
name.__getattr__
name.add_head_lora
name.restrict
name.scaled_heads
name.inert_by_gradient
name.BenchEnvironment
name.action_space
name.observation_space

# lerobot's evaluation asks the bench for these.
name.make_env
name.cfg
name.task_description
name._max_episode_steps

# Measures that no command asks, for Python and the tests.
name.as_recorded
name.equivalence_power
name.gradient_norm

# Called by name: commands, functions of a child process, setuptools' commands, Gradio.
name.import_
name.trial
name.demo
name.correct
name._bench
name.__signature__
name.expert_table
name.activations_in_child
name.inspect_in_child
name.look_in_child
name.preview_in_child
name.store_in_child
name.Wheel
name.postprocess
name.asking

# Set for other libraries, which read them.
name.base_model_name_or_path
name.base_model_prefix
name.compress_type
name.decoder
name.emission
name.fixedcamid
name.numquads
name.numslices
name.numstacks
name.offheight
name.offwidth
name.pix_fmt
name.pre_tokenizer
name.row_factory
name.specular

# Fields that are stored with results, fill a record, or are limits that are read by name; what documents a field.
name.STATES
name.address_places
name.drive_minutes
name.cache_mb
name.created_s
name.fold_share
name.load_s
name.null_max
name.timesteps
name.weight_bytes
name.idea
name.reveal
name.know
name.covers

# Fields that only templates read.
name.kept_until
name.samples_per_s

# An argument that is only there to be part of a cache's key.
name.changed_ns
