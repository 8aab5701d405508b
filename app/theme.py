"""The Gradio theme underneath static/page.css: system fonts, neutral, no request to any host."""

from __future__ import annotations

import gradio as gr

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]


def theme() -> gr.themes.Base:
    """A Base theme whose surfaces match the style sheets' tokens."""
    return gr.themes.Base(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=MONO).set(
        body_background_fill="#f5f6f8",
        body_background_fill_dark="#0d1015",
        body_text_color="#151a24",
        body_text_color_dark="#eceff4",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        layout_gap="0px",
    )
