"""What a model costs: parameters, bytes on disk, and measured time."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...capture import eval_mode
from ...errors import ModelError
from ...models import LoadedModel
from ...stats.intervals import DRAWS, LEVEL

#: Texts in a batch, tokens in a text, and turns, unless others are asked for.
BATCH_SIZES, LENGTHS, REPEATS = (1, 8), (16, 64, 128), 11
LATENCY_COLUMNS = (
    "batch_size", "length", "before_seconds", "after_seconds", "ratio", "ratio_low", "ratio_high",
    "repeats", "device",
)  # fmt: skip


def parameters(model: LoadedModel) -> int:
    """Numbers in the weights; what is shared counts once."""
    return sum(parameter.numel() for parameter in model.module.parameters())


def file_size(model: LoadedModel) -> int:
    """Bytes of the safetensors that the model is saved as, in its own type; measured."""
    with tempfile.TemporaryDirectory() as place:
        model.module.save_pretrained(place)
        return sum(file.stat().st_size for file in Path(place).glob("*.safetensors"))


def latency(
    before: LoadedModel,
    after: LoadedModel,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    lengths: Sequence[int] = LENGTHS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> pd.DataFrame:
    """Time of a forward pass of both models, at several sizes.

    The models take turns, so that what else the machine does meets both; the ratio after ÷ before
    of each turn is one observation. Seconds are medians, the ratio is the median of the ratios
    with a percentile bootstrap interval over turns (95 %). Texts are random tokens without
    padding. Lengths that do not fit the model are left out.

    Returns:
        One row per batch size and length; `ratio` below 1: the second model is faster.

    Raises:
        ModelError: no length fits, or fewer than 5 repeats.
    """
    fitting = [n for n in lengths if before.max_tokens is None or n <= before.max_tokens]
    if not fitting or repeats < 5 or min((*batch_sizes, *fitting, 1)) < 1 or not batch_sizes:
        raise ModelError(
            f"Time was to be measured at lengths {list(lengths)}, batch sizes {list(batch_sizes)} "
            f"and with {repeats} repeats; {before.name} reads at most {before.max_tokens} tokens, "
            "and it takes at least 5 repeats."
        )
    rows: list[dict[str, Any]] = []
    cells = [(size, length) for size in batch_sizes for length in fitting]
    with tqdm(total=len(cells) * repeats, desc="timing", dynamic_ncols=True) as bar:
        for size, length in cells:
            seconds = _turns(before, after, _inputs(before, size, length, seed), repeats, bar)
            ratios = seconds[:, 1] / seconds[:, 0]
            low, high = _interval_of_median(ratios, seed)
            first, second = np.median(seconds, axis=0)
            rows.append({
                "batch_size": size, "length": length, "before_seconds": first,
                "after_seconds": second, "ratio": np.median(ratios), "ratio_low": low,
                "ratio_high": high, "repeats": repeats, "device": str(before.device),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(LATENCY_COLUMNS))


def _inputs(model: LoadedModel, size: int, length: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.randint(vocabulary, (size, length), generator=generator)
    pad = model.config.pad_token_id
    if pad is not None:
        ids[ids == pad] = (pad + 1) % vocabulary
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids
    return {name: value.to(model.device) for name, value in inputs.items()}


@torch.no_grad()
def _turns(
    before: LoadedModel, after: LoadedModel, inputs: dict[str, Tensor], repeats: int, bar: Any
) -> np.ndarray:
    """Seconds of each turn: (repeat, model)."""
    modules = (before.module, after.module)
    seconds = np.empty((repeats, 2))
    with eval_mode(modules[0]), eval_mode(modules[1]):
        for module in modules:
            module(**inputs)  # the first pass of a shape allocates and chooses kernels
        for turn in range(repeats):
            # Who comes first changes, as the first of two passes may warm up for the second.
            for which in (0, 1) if turn % 2 == 0 else (1, 0):
                seconds[turn, which] = _seconds(modules[which], inputs)
            bar.update()
    return seconds


def _seconds(module: Any, inputs: dict[str, Tensor]) -> float:
    device = inputs["input_ids"].device
    _wait(device)
    start = time.perf_counter()
    module(**inputs)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _interval_of_median(values: np.ndarray, seed: int) -> tuple[float, float]:
    draws = np.random.default_rng(seed).choice(values, (DRAWS, len(values)))
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(np.median(draws, axis=1), [edge, 1 - edge])
    return float(low), float(high)
