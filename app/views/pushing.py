"""The card from which a packed policy goes to the hub, and where it lies there."""

from __future__ import annotations

from markupsafe import Markup

from app.views.templates import Macros

HTML = Macros("pushing.html")


def push_card(export_id: str, needs_token: bool) -> Markup:
    """Asks for the repository and a token. needs_token: this machine's own login is not to be used."""
    hint = "used for this upload, kept nowhere" if needs_token else "empty: this machine's login; kept nowhere"
    return HTML.push_card(export_id, hint)


def pushed_card(address: str) -> Markup:
    """Where the policy lies now."""
    return HTML.pushed_card(address)
