"""The browser workbench: a Gradio page over the store and the jobs. Imports no torch, MuJoCo or transformers."""
