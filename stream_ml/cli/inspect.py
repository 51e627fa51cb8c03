"""`stream-ml inspect`: what is in a saved model."""

from __future__ import annotations

from pathlib import Path

from stream_ml.errors import ConfigError

__all__ = ["inspect_model"]


def inspect_model(path: str, *, trees: bool, dot: str | None) -> None:
    """Print what a model is made of; write its graph if so told.

    Raises
    ------
    ArtefactError
        The file is missing, damaged, or holds no model of ihomer.
    ConfigError
        The graph cannot be written.
    """
    from stream_ml.ihomer import IHomerClassifier
    from stream_ml.report.model_text import dot_graph, model_lines

    model = IHomerClassifier.load(path)
    print("\n".join([f"{path}:", *model_lines(model, trees=trees)]))  # noqa: T201
    if dot is not None:
        try:
            Path(dot).write_text(dot_graph(model), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{dot}: cannot be written: {(error.strerror or str(error)).lower()}") from None
        print(f"\ngraph: {dot}; draw it with: dot -Tsvg {dot} -o model.svg")  # noqa: T201
