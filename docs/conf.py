"""How `make docs` builds the site. The checkout is the source: a link that works in it works in the site, too."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

import stream_ml

project = "stream-ml"
copyright = "the authors of stream-ml; BSD 3-Clause licence"
release = version = stream_ml.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["README.md", "docs/*.md", "docs/api/*.rst", "simulators/README.md", "notebooks/README.md"]
exclude_patterns = [".*", "build", "dist", "runs", "stream_ml", "tests"]
root_doc = "README"
nitpicky = True
nitpick_ignore_regex = [
    # other projects' names are not looked up in the network
    (
        "py:.*",
        r"(numpy|np|collections|contextlib|jinja2|pathlib|typing|pydantic|rich|river|sklearn|scipy|pandas|polars)\..*",
    ),
    ("py:class", r"(os\.PathLike|abc\.ABC)"),
    ("py:class", r"dict\[str"),  # of dataclass fields with a factory, whose signatures Sphinx cannot take apart
    ("py:.*", r"(NDArray|ArrayLike|Any|Path|Self|Literal.*|TypeVar|Ellipsis|optional|ConfigDict|BaseModel)"),
]

myst_heading_anchors = 4
napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # one description may be of several names
napoleon_use_rtype = False  # the signature tells it
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "literal"  # names in docstrings stand between single backticks

html_theme = "furo"
html_title = "stream-ml"
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False

START = """
```{toctree}
:hidden:
:caption: Guides

docs/streams
docs/models
docs/report
docs/service
docs/drift
docs/performance
docs/benchmark
docs/ecosystem
docs/label-clusters
docs/architecture
docs/results
simulators/README
notebooks/README
```

```{toctree}
:hidden:
:caption: Reference
:maxdepth: 1

docs/api/index
```
"""
"""The contents of the site, which a reader of README.md elsewhere need not see."""


def _with_contents(_: Any, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += START


def _told(_: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Below the docstring of a pydantic model a list of its fields; of a constant not what its type says of itself."""
    if what == "data" and lines[:1] == (type(value).__doc__ or "").splitlines()[:1]:
        lines.clear()
    if what != "class" or not issubclass(value, BaseModel):
        return
    lines.append("")
    for field, info in value.model_fields.items():
        default = "" if info.is_required() or isinstance(info.default, BaseModel) else f" (`{info.default!r}`)"
        lines.append(f"* **{field}**{default}: {info.description or 'a section'}")
    lines.append("")


def _without_constraints(_: Any, what: str, name: str, value: Any, *given: Any) -> tuple[str, None] | None:
    """No signature of a pydantic model: its fields are listed."""
    return ("", None) if what == "class" and issubclass(value, BaseModel) else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _without_constraints)
    app.connect("autodoc-process-docstring", _told)
    app.connect("source-read", _with_contents)
