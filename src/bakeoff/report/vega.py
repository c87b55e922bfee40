"""The scripts that draw the charts: Vega, Vega-Lite and Vega-Embed as one text, from `vl-convert`.

Making it takes two seconds, so it is kept in the user's cache under the version that made it.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import metadata

from bakeoff.errors import ResourceError
from bakeoff.homes import cache_home
from bakeoff.records.atomic import write_text


def vega_script() -> str:
    """Return the scripts, from the cache when it has them."""
    path = cache_home() / f"vega-{metadata.version('vl-convert-python')}.js"
    try:
        kept = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        kept = ""
    if kept.rstrip().endswith("window.vegaLite=__default1;"):
        return kept
    import vl_convert

    # A closing tag inside a string of the script would end the page's script element.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stub wants a snippet
    script = bundle.replace("</script", "<\\/script")
    with suppress(OSError, ResourceError):  # without a cache it is two seconds each time, nothing else
        write_text(path, script)
    return script
