"""Attention flow: how much can reach a token, if attention is the capacity of pipes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from ...capture import Batch, Event, Hook, hooked
from ...capture.places import one_of_a_kind
from ...corpora import Encoding
from ...errors import AttributionError
from ..goals import Goal
from ..running import stream_with

#: Tokens of the longest text: one flow is computed for each token, through a graph with
#: layers x tokens² edges (on one core about 1 s for a text of 64 tokens and 12 layers).
FLOW_TOKENS = 128
#: Capacities are whole numbers, so that a maximum flow is exact.
_SCALE = 2**30


def attention_flow(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """Maximum flow from the goal's rows to each input token (Abnar & Zuidema 2020, section 4).

    Flows to different tokens are maximised one by one, so they do not sum to 1. Draws nothing.

    Raises:
        AttributionError: a text has more than FLOW_TOKENS tokens.
    """
    if long := [len(encoding) for encoding in encodings if len(encoding) > FLOW_TOKENS]:
        raise AttributionError(
            f"{len(long)} of {len(encodings)} texts have more than {FLOW_TOKENS} tokens (the "
            f"longest {max(long)}), too many for attention flow, whose cost grows with their "
            "fourth power; leave them out."
        )

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        means: list[torch.Tensor] = []
        observe = Hook(observe=lambda e: means.append(_head_mean(e)), check=one_of_a_kind)
        with torch.no_grad(), hooked(model.module, observe):
            model.module(**batch.inputs)
        layers = torch.stack(means, 1).double().cpu().numpy()
        flows = []
        for row, (keep, goal) in enumerate(zip(batch.mask.bool().cpu().numpy(), own, strict=True)):
            flows.append(flow(layers[row][:, keep][:, :, keep], goal.rows))
        return flows

    return stream_with(model, encodings, goals, run, description="attention flow")


def flow(head_means: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Maximum flow through the layers to each token, shape (token,).

    Each layer is ½W + ½I, as in rollout. What is explained is a node of its own that attends
    to the rows of the last layer by their weights: for a single row that is the flow of the
    paper, from the node of that row.

    Args:
        head_means: (layer, query, key) attention averaged over the heads.
        rows: (token,) weights that sum to 1.
    """
    layers, tokens, _ = head_means.shape
    source = (layers + 1) * tokens
    capacities = np.zeros((source + 1, source + 1))
    for layer, mean in enumerate(head_means):
        above, below = ((layer + 1 - up) * tokens for up in (0, 1))
        capacities[above : above + tokens, below : below + tokens] = (mean + np.eye(tokens)) / 2
    capacities[source, layers * tokens : source] = rows
    graph = csr_array(np.rint(capacities * _SCALE).astype(np.int32))
    flows = [maximum_flow(graph, source, token).flow_value for token in range(tokens)]
    return np.array(flows) / _SCALE


def _head_mean(event: Event) -> torch.Tensor:
    return event.attention.float().mean(1)
