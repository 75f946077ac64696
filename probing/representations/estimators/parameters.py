"""Parameters of probes that are refused before anything is trained."""

from collections.abc import Sequence

import torch

from ....errors import BertologyError


def check_strengths(Cs: Sequence[float]) -> None:
    """Refuse a grid without strengths of the penalty.

    Raises:
        BertologyError: it is empty.
    """
    if not len(Cs):
        raise BertologyError("Cs is empty; give at least one strength, such as (0.1,).")


def check_device(device: str) -> None:
    """Refuse a device that torch cannot compute on here.

    Raises:
        BertologyError: it is unknown or this machine has none.
    """
    try:
        torch.zeros(1, device=device)
    # An AssertionError where torch was built without CUDA.
    except (RuntimeError, AssertionError) as error:
        raise BertologyError(
            f"device is {device!r}, which torch cannot use here ({str(error).splitlines()[0]}); "
            "give cpu, or a device of this machine such as cuda."
        ) from error


def check_rank(rank: int) -> None:
    """Refuse a projection without dimensions.

    Raises:
        BertologyError: the rank is below 1.
    """
    if rank < 1:
        raise BertologyError(f"rank is {rank}; give at least 1, such as 64.")
