"""Does it matter which word gets which weight? (Jain & Wallace 2019, section 4.2.1)"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..divergences import total_variation
from .instances import Instance
from .network import AttentionClassifier

PERMUTATIONS = 100


def permutation(
    network: AttentionClassifier, instances: Sequence[Instance], *, seed: int
) -> pd.DataFrame:
    """Median total variation of the output over random permutations of α, states held fixed.

    Returns:
        One row a text: `predicted` (number of the class), `max_attention`, `words`, `median_tvd`.
    """
    generator = torch.Generator().manual_seed(seed)
    medians = []
    with torch.no_grad():
        for instance in instances:
            orders = torch.stack([
                torch.randperm(len(instance.attention), generator=generator)
                for _ in range(PERMUTATIONS)
            ])  # fmt: skip
            outputs = network.decide(instance.states, instance.attention[orders]).softmax(-1)
            medians.append(total_variation(outputs, instance.probabilities).median().item())
    return pd.DataFrame({
        "predicted": [instance.predicted for instance in instances],
        "max_attention": [instance.attention.max().item() for instance in instances],
        "words": [len(instance.attention) for instance in instances],
        "median_tvd": np.array(medians),
    })  # fmt: skip
