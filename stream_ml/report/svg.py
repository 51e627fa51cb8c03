"""From a matplotlib figure to an SVG that lives in a page: colours by CSS variables, tooltips, ids of its own."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "RC", "SERIES", "inline_svg"]

PALETTE = {
    "ink": ("#1b1f25", "#e8eaee"),
    "muted": ("#626b78", "#9aa3b0"),
    "grid": ("#e2e5ea", "#333a45"),
    "paper": ("#fefefe", "#1a1e25"),
    "c0": ("#2361c8", "#7aabff"),
    "c1": ("#d06a0c", "#ffa95c"),
    "c2": ("#28854a", "#6fd092"),
    "c3": ("#c4353a", "#ff8b8b"),
    "c4": ("#7748bf", "#bf9cff"),
    "c5": ("#0e7f8c", "#5fd0dc"),
    "c6": ("#b93b88", "#ff92cf"),
    "c7": ("#85562a", "#d5a57a"),
    "c8": ("#74800f", "#c6d264"),
    "c9": ("#717985", "#a7afbb"),
}
"""What each role looks like on light and on dark paper; a figure is drawn in the light ones."""
SERIES = tuple(PALETTE[f"c{i}"][0] for i in range(9))
RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.edgecolor": PALETTE["grid"][0],
    "axes.labelcolor": PALETTE["muted"][0],
    "axes.titlecolor": PALETTE["ink"][0],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.limits": (-99, 99),
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "grid.color": PALETTE["grid"][0],
    "grid.linewidth": 0.8,
    "text.color": PALETTE["ink"][0],
    "xtick.color": PALETTE["muted"][0],
    "ytick.color": PALETTE["muted"][0],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
ROLE_OF = {light: f"var(--{name})" for name, (light, _) in PALETTE.items()}
COLOUR = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{2,}")
FONT = re.compile(r"font: (?:normal |italic |bold |\d{3} )*([\d.]+)px [^;]*")
POINTED = re.compile(r"url\(#([^)]+)\)")
DRAWN = ("d", "x", "y", "transform", "points", "width", "height")


def inline_svg(figure: Figure, prefix: str, title: str, titles: dict[str, str]) -> str:
    """The figure as an `<svg>` element.

    Parameters
    ----------
    prefix
        Begins all its ids.
    title
        What it shows, for those who do not see it.
    titles
        Tooltips by the gid of the artist that has them.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in list(element.attrib):
            element.attrib[name.rpartition("}")[2]] = element.attrib.pop(name)
    _drop(root, {"metadata", "style"})
    pointed = {name for e in root.iter() for value in e.attrib.values() for name in POINTED.findall(value)}
    pointed |= {e.attrib["href"][1:] for e in root.iter() if e.attrib.get("href", "").startswith("#")}
    for element in root.iter():
        _tidy(element, prefix, pointed, titles)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    width = float(root.attrib["viewBox"].split()[2])
    root.attrib.update({"role": "img", "aria-label": title, "style": f"--w:{width:.0f}px"})
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _drop(element: ElementTree.Element, tags: set[str]) -> None:
    for child in list(element):
        if child.tag in tags or (child.tag == "defs" and all(x.tag in tags for x in child)):
            element.remove(child)
        else:
            _drop(child, tags)


def _tidy(element: ElementTree.Element, prefix: str, pointed: set[str], titles: dict[str, str]) -> None:
    """Colours, numbers, ids and the tooltip of one element."""
    attributes = element.attrib
    if (name := attributes.get("id")) is not None:
        if name in titles:
            tip = ElementTree.Element("title")
            tip.text = titles[name]
            element.insert(0, tip)
            attributes["class"] = "tip"
        if name in pointed:
            attributes["id"] = prefix + name
        else:
            del attributes["id"]
    if attributes.get("href", "").startswith("#"):
        attributes["href"] = f"#{prefix}{attributes['href'][1:]}"
    if "clip-path" in attributes:
        attributes["clip-path"] = POINTED.sub(rf"url(#{prefix}\1)", attributes["clip-path"])
    for name in ("style", "fill", "stroke"):
        if name in attributes:
            value = COLOUR.sub(lambda found: ROLE_OF.get(found[0], found[0]), attributes[name])
            attributes[name] = NUMBER.sub(_rounded, FONT.sub(r"font-size: \1px", value))
    for name in DRAWN:
        if name in attributes:
            attributes[name] = " ".join(NUMBER.sub(_rounded, attributes[name]).split())
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None and not element.tail.strip():
        element.tail = None


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
