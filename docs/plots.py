"""The page on which DVC shows plots: it has in it the library that draws them, which DVC's own page fetches."""

from pathlib import Path

import vl_convert

PAGE = Path(__file__).resolve().parents[1] / ".dvc" / "plots" / "page.html"

# DVC puts its plots into {plot_divs}, each a place and a script that calls vegaEmbed(place, specification).
TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'">
<title>collapselab: plots</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; } body > div { display: inline-block; margin: 0 1rem 1.5rem 0; }</style>
<script>LIBRARY</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""  # noqa: E501


def page() -> str:
    """The whole page."""
    return TEMPLATE.replace("LIBRARY", vl_convert.javascript_bundle())
