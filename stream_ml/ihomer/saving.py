"""A classifier's state as one flat mapping, and in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_ml.errors import ArtefactError, ConfigError, DataError
from stream_ml.experts import ExtraExpert, ExtraExperts
from stream_ml.ihomer.files import MODEL, model_in
from stream_ml.ihomer.state import EXTRA, PickledByState
from stream_ml.states import FLAWS, Part, told
from stream_ml.storage import read_artefact, write_artefact
from stream_ml.streams.schema import Schema

__all__ = ["Saving"]


class Saving(PickledByState):
    """The side of a classifier that goes to files and comes back."""

    def save(self, path: str | Path) -> int:
        """Write the model to a file, whole or not at all; see `load`. Gives its bytes.

        Raises
        ------
        OSError
            It cannot be written.
        ConfigError
            An extra expert cannot be saved: it has no `state_dict`.
        """
        schema = None if self._schema is None else self._schema.to_dict()
        facts = {"kind": MODEL, "settings": self.settings.model_dump(mode="json"), "schema": schema}
        return write_artefact(Path(path), self.live_state(), facts)

    @classmethod
    def load(
        cls, path: str | Path, *, extra_experts: Mapping[str, ExtraExpert] | None = None, look_only: bool = False
    ) -> Self:
        """The model that `save` wrote; its future is the same, bit for bit. Its `schema` tells the columns it knows.

        The checkpoint of a run or of the Kafka service gives the model in it. `extra_experts`, fresh and of the same
        settings as those that were saved, take their states over; with `look_only` they need not be there, and the
        model cannot predict.

        Raises
        ------
        ArtefactError
            The file is missing, damaged, holds no such model, or one with other extra experts.

        Examples
        --------
        >>> import tempfile
        >>> from stream_ml import IHomerClassifier
        >>> from stream_ml.simulation import default_stream
        >>> model = IHomerClassifier()
        >>> for batch in default_stream(n_instances=500, seed=1):
        ...     predictions = model.test_then_train(batch)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = model.save(f"{folder}/model.safetensors")
        ...     again = IHomerClassifier.load(f"{folder}/model.safetensors")
        >>> again.n_learned, again.schema.n_labels == batch.n_labels
        (500, True)
        """
        arrays, facts = model_in(read_artefact(Path(path)), str(path))
        return cls.from_saved(arrays, facts, source=str(path), extra_experts=extra_experts, look_only=look_only)

    @classmethod
    def from_saved(
        cls,
        arrays: Mapping[str, NDArray],
        facts: Mapping[str, Any],
        *,
        source: str = "state",
        schema: Schema | None = None,
        extra_experts: Mapping[str, ExtraExpert] | None = None,
        look_only: bool = False,
    ) -> Self:
        """The model of some arrays (`state_dict`), and of facts with its `settings` and `schema`, or with this schema.

        For `extra_experts` and `look_only` see `load`.

        Raises
        ------
        ArtefactError
            They do not fit together.
        """
        try:
            make: Any = cls
            model: Self = make(extra_experts=extra_experts, **facts["settings"])
            if look_only and EXTRA in arrays:
                model._extra = ExtraExperts.absent(Part.of(arrays).plain(EXTRA))
            if schema is None:
                schema = Schema() if facts["schema"] is None else Schema.from_dict(facts["schema"])
            model.load_state_dict(schema, arrays)
        except (ConfigError, DataError, *FLAWS) as error:
            raise ArtefactError(f"{source}: its parts do not fit together: {told(error)}") from error
        return model

    def state_dict(self) -> dict[str, NDArray]:
        """All that the future depends on, settings and undrained events included, as one flat mapping (copies)."""
        return {name: np.array(array) for name, array in self.live_state().items()}

    def live_state(self) -> dict[str, NDArray]:
        """The same without copies: what is read of it must be copied before the next batch."""
        extra = self._extra.state_dict()
        return self.own_state() | {f"{EXTRA}.{name}": array for name, array in extra.items()}

    def load_state_dict(self, schema: Schema, state: Mapping[str, NDArray]) -> None:
        """Take over the state of a model of the same settings; the future is then the same bit for bit.

        Raises
        ------
        ConfigError
            The state is of a model of other settings or extra experts, or of a stream that is not of this schema.
        """
        self.load_own_state(schema, state)
        self._extra.load_state_dict(Part.of(state).part(f"{EXTRA}."))
