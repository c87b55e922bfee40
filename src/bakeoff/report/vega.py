"""The scripts that draw the charts: Vega, Vega-Lite and Vega-Embed as one text, from `vl-convert`.

Making it takes two seconds, so it is kept in the user's cache under the version that made it.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from bakeoff.errors import ResourceError
from bakeoff.records.atomic import write_text


def vega_script() -> str:
    """Return the scripts, from the cache when it has them."""
    path = _cache_folder() / f"vega-{metadata.version('vl-convert-python')}.js"
    try:
        kept = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        kept = ""
    if kept.rstrip().endswith("window.vegaLite=__default1;"):
        return kept
    import vl_convert

    # A closing tag inside a string of the script would end the page's script element.
    script: str = vl_convert.javascript_bundle().replace("</script", "<\\/script")
    try:
        write_text(path, script)
    except (OSError, ResourceError):
        pass  # a home that cannot be written to costs two seconds each time, nothing else
    return script


def _cache_folder() -> Path:
    """Return where this user's programs keep what can be made again."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "bakeoff"
