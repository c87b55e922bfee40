"""The page for people: one HTML file that asks nobody but its own server for anything.

Style and script are part of the file, and its policy names them by their digests: nothing else
is carried out, whatever a model's or a class's name may hold.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup

from bakeoff.deploy.serving.drawing import FORMATS
from bakeoff.pages import environment_of

if TYPE_CHECKING:
    from bakeoff.deploy.serving.service import Served, Service

SHOWN = 5  # classes of a model that are shown as bars


@dataclass(frozen=True, slots=True)
class Page:
    """The page's bytes, and the headers that go with them."""

    html: str
    headers: dict[str, str]


def render_page(service: Service, *, needs_token: bool) -> Page:
    """Draw the page.

    Args:
        service: Its models and limits.
        needs_token: Whether a person must give a token.

    Returns:
        The page.
    """
    css, script = _own("serve.css"), _own("serve.js")
    models = [_shown(served) for served in service.models.values()]
    settings = {
        "models": models, "top": SHOWN, "maxBytes": service.limits.max_bytes, "needsToken": needs_token,
        "formats": list(FORMATS),
    }  # fmt: skip
    html = _environment().get_template("serve.html").render(
        css=Markup(css), script=Markup(script), settings=settings, models=models, needs_token=needs_token,
        title=models[0]["name"] if len(models) == 1 else f"{len(models)} models side by side",
        task=models[0]["task"], largest=_size_words(service.limits.max_bytes),
        megapixels=f"{service.limits.max_pixels / 1e6:g}",
    )  # fmt: skip
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(css)}; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(html, {
        "content-security-policy": policy, "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer", "cache-control": "no-cache",
    })  # fmt: skip


def _shown(served: Served) -> dict[str, Any]:
    """Decide the words about a model."""
    about = served.bundle.about
    facts = [f"{len(about.class_names)} classes", f"sees {about.image_size} x {about.image_size} pixels"]
    accuracy = about.accuracy.get("test")
    if isinstance(accuracy, int | float):
        facts.append(f"{100 * accuracy:.1f} % right on its study's test images")
    return {
        "name": served.name, "task": about.task, "study": about.study, "facts": ", ".join(facts),
        "similar": served.index is not None, "classes": len(about.class_names),
    }  # fmt: skip


def _size_words(size: int) -> str:
    return f"{size / 2**20:.3g} MiB" if size >= 2**20 else f"{size:,} bytes"


@cache
def _environment() -> Environment:
    return environment_of("bakeoff.deploy.serving")


def _own(name: str) -> str:
    """Return one of this package's own texts, which need no escaping."""
    return (resources.files("bakeoff.deploy.serving") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Name a style or a script as a content security policy does."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"
