"""How Sphinx builds the site of these pages: ``make docs``.

Warnings are errors and nothing comes from a network: no inventories of other projects, no fonts, no scripts.
"""

import re
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from docstrings import as_rst  # noqa: E402
from jupyter_client.manager import KernelManager  # noqa: E402

from collapselab import __version__  # noqa: E402

project, version, release = "collapselab", __version__, __version__
author = "The collapselab developers"
project_copyright = f"{author}, Apache-2.0"
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx_design", "sphinx_copybutton"]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "auto"  # of a notebook that holds no outputs yet
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds
# Else the kernel warns that what it says passes this machine as plain text. Nothing in MyST-NB hands this on to it.
KernelManager.transport_encryption.default_value = "auto"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes and units, which types do not
python_use_unqualified_type_names = True
linkcheck_timeout, linkcheck_retries = 20, 2

html_theme = "pydata_sphinx_theme"
html_title = "collapselab"
html_static_path = ["_static"]
html_css_files, html_js_files, html_favicon = ["site.css"], ["site.js"], "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system says
html_copy_source = False
html_use_index = False  # the search finds every name
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {page: [] for page in ("index", "tutorial", "concepts", "quoting", "gallery")}

PLACES = {"config/README.md": "keys.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files outside this folder that are pages of the site, too."""


def at_home(text: str, folder: Path) -> str:
    """Markdown that was written in a folder, with its links to files as they are from docs/."""

    def moved(link: re.Match[str]) -> str:
        target, _, anchor = link[1].partition("#")
        path = (folder / target).resolve()
        if not target or "://" in target or not path.is_file() or not path.is_relative_to(ROOT):
            return link[0]
        inside = path.relative_to(ROOT).as_posix()
        found = PLACES.get(inside) or (inside.removeprefix("docs/") if inside.startswith("docs/") else f"../{inside}")
        return f"]({found}{'#' if anchor else ''}{anchor})"

    return re.sub(r"\]\(([^()\s]+)\)", moved, text)


class Report(SphinxDirective):
    """The report of a study, where one was gathered by ``python docs/reports.py``; else how to make it.

    linked: a link alone, and nothing where there is no report.
    """

    required_arguments = 1
    option_spec: ClassVar = {"linked": directives.flag}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.env.note_dependency(str(ROOT / "docs" / "_static" / "reports"))
        if (ROOT / "docs" / "_static" / "reports" / f"{name}.html").exists():
            place = f"_static/reports/{name}.html"
            shown = f'<p><a href="{place}">The report of <code>{name}</code> on a page of its own</a></p>\n'
            if "linked" in self.options:
                return [nodes.raw("", shown, format="html")]
            shown += f'<iframe class="report" src="{place}" title="The report of {name}" loading="lazy"></iframe>'
            return [nodes.raw("", shown, format="html")]
        if "linked" in self.options:
            return []
        told = nodes.paragraph("", "", nodes.Text("Its report is drawn by "))
        told += [nodes.literal("", f"collapselab run {name}"), nodes.Text(".")]
        return [told]


def setup(app: Sphinx) -> dict[str, Any]:
    """What is done to pages, to files that they include, and to docstrings on the way."""

    def page(app: Sphinx, name: str, source: list[str]) -> None:
        source[0] = at_home(source[0], Path(app.srcdir))

    def included(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
        content[0] = at_home(content[0], (Path(app.srcdir) / path).parent)

    def docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        lines[:] = as_rst(lines)

    app.connect("source-read", page)
    app.connect("include-read", included)
    app.connect("autodoc-process-docstring", docstring)
    app.add_directive("report", Report)
    return {"parallel_read_safe": True}
