"""These pages as a site: `sphinx-build -W -c docs . site`, then open site/index.html.

The source folder is the whole checkout, so that a link leads to the same page here and where the files are read.
"""

from pathlib import Path

from sphinx.application import Sphinx

from lipsound2 import __version__

project = "lipsound2"
author = "The maintainers of lipsound2"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "docs/index"
include_patterns = [
    *("docs/**", "*.md", "egs/*/README.md", "egs/*/RESULTS.md", "examples/README.md"),
    *("lipsound2/pretrained/*/*.md", "tests/layouts/README.md"),
]
exclude_patterns = [".*", "build", "site", "egs/TEMPLATE", *(f"egs/*/{name}" for name in ("corpus", "dump", "exp"))]

myst_heading_anchors = 4  # links lead to headings, as where the files are read

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"lipsound2 {__version__}"
html_show_copyright = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    app.connect("build-finished", lead_in)


def lead_in(app: Sphinx, error: Exception | None) -> None:
    """Open the site at its first page."""
    if error is None and app.builder.name == "html":
        to = f'<!doctype html><meta http-equiv="refresh" content="0; url={root_doc}.html"><title>{project}</title>\n'
        (Path(app.outdir) / "index.html").write_text(to, encoding="utf-8")
