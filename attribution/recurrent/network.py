"""The classifier of the attention debate."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...errors import AttributionError
from .vocabulary import PADDING

#: `projection` sees each word alone: a linear map and tanh.
ENCODERS = ("bilstm", "projection")
#: `uniform` spreads attention evenly, in training and after.
ATTENTIONS = ("additive", "dot", "uniform")


class AttentionClassifier(nn.Module):
    """Embedding, encoder, attention over its states, and a linear map (Jain & Wallace 2019, 2).

    α = softmax of v·tanh(W h) (inner size a half of the states) or of v·h/√H; the logits are a
    linear map of Σ α_t h_t.

    Raises:
        AttributionError: an unknown encoder or attention.
    """

    def __init__(
        self,
        words: int,
        classes: int,
        *,
        encoder: str = "bilstm",
        attention: str = "additive",
        embedding: int = 100,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        if encoder not in ENCODERS or attention not in ATTENTIONS:
            raise AttributionError(
                f"encoder={encoder!r}, attention={attention!r}: the encoder is one of "
                f"{', '.join(ENCODERS)}, the attention one of {', '.join(ATTENTIONS)}."
            )
        self.kind, width = attention, 2 * hidden
        self.embedding = nn.Embedding(words, embedding, padding_idx=PADDING)
        self.encoder: nn.Module = (
            nn.LSTM(embedding, hidden, bidirectional=True, batch_first=True)
            if encoder == "bilstm"
            else nn.Sequential(nn.Linear(embedding, width), nn.Tanh())
        )
        self.attention: nn.Module = (
            nn.Sequential(nn.Linear(width, width // 2), nn.Tanh(), nn.Linear(width // 2, 1, False))
            if attention == "additive"
            else nn.Linear(width, 1, bias=False)
        )
        self.output = nn.Linear(width, classes)

    def encode(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (batch, token, width) of embedded words (batch, token, embedding)."""
        if not isinstance(self.encoder, nn.LSTM):
            return self.encoder(embedded)
        packed = pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = self.encoder(packed)
        return pad_packed_sequence(states, batch_first=True, total_length=embedded.shape[1])[0]

    def attend(self, states: Tensor, lengths: Tensor) -> Tensor:
        """α (batch, token), 0 on padding, of states (batch, token, width)."""
        scores = self.attention(states).squeeze(-1)
        if self.kind == "dot":
            scores = scores / math.sqrt(states.shape[-1])
        elif self.kind == "uniform":
            scores = torch.zeros_like(scores)
        inside = torch.arange(states.shape[1], device=states.device) < lengths[:, None]
        return scores.masked_fill(~inside, -torch.inf).softmax(-1)

    def decide(self, states: Tensor, attention: Tensor) -> Tensor:
        """Logits (…, class) of states (…, token, width) under α (…, token)."""
        return self.output((attention.unsqueeze(-2) @ states).squeeze(-2))

    def forward(
        self, ids: Tensor, lengths: Tensor, attention: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (batch, class) and α (batch, token); α is `attention` where it is given."""
        states = self.encode(self.embedding(ids), lengths)
        weights = self.attend(states, lengths) if attention is None else attention
        return self.decide(states, weights), weights
