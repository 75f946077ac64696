"""Panels: texts of one kind with the metrics that are read off them in the same passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch
from ..corpora import Encoding
from ..errors import CaptureError
from .instruments import Instrument


@dataclass(frozen=True)
class Reading:
    """A text that the model reads for an example."""

    encoding: Encoding
    example: int
    wanted: tuple[Any, ...]
    """For each metric of the panel what is asked of the text; None where it has no label."""


@dataclass(frozen=True)
class Panel:
    """Readings, of which several may belong to one example."""

    instruments: tuple[Instrument, ...]
    readings: list[Reading]

    def read(
        self, model: Any, outputs: Any, batch: Batch, readings: Sequence[Reading]
    ) -> np.ndarray:
        """The statistics of every metric, side by side: (batch, statistic), float64.

        Rows are NaN for a metric that asks nothing of the text.

        Raises:
            CaptureError: a text of which the model makes NaN or infinite numbers.
        """
        found = []
        for place, instrument in enumerate(self.instruments):
            wanted = [reading.wanted[place] for reading in readings]
            asked = [one is not None for one in wanted]
            # Any class or value will do where the outcome is thrown away.
            filled = [0 if one is None else one for one in wanted]
            values = instrument.read(model, outputs, batch, filled).cpu().double()
            self._refuse_infinite(outputs[0], values, readings)
            found.append(values.masked_fill(~torch.tensor(asked)[:, None], torch.nan))
        return torch.cat(found, dim=1).numpy()

    @staticmethod
    def _refuse_infinite(logits: Tensor, values: Tensor, readings: Sequence[Reading]) -> None:
        lost = ~values.isfinite().all(1)
        if logits.dim() == 2:
            # The largest of NaN is a class, too.
            lost |= ~logits.isfinite().all(1).cpu()
        if lost.any():
            sentence = readings[int(lost.long().argmax())].encoding.sentence
            raise CaptureError(
                f"The model makes NaN or infinite numbers of {sentence.id!r} "
                f"({sentence.text[:60]!r}), intact or without a part. The weights may be damaged, "
                "or the type too narrow (float16): load the model in float32 or bfloat16, or leave "
                "the sentence out."
            )

    def of_examples(self, values: np.ndarray, examples: int) -> dict[str, np.ndarray]:
        """The statistics of the examples, by metric: (example, …, k).

        Args:
            values: (reading, …, statistic).
        """
        sums = np.zeros((examples, *values.shape[1:]))
        np.add.at(sums, [reading.example for reading in self.readings], values)
        found, start = {}, 0
        for instrument in self.instruments:
            end = start + len(instrument.metric.columns)
            rows = sums[..., start:end]
            found[instrument.metric.name] = instrument.finish(rows) if instrument.finish else rows
            start = end
        return found
