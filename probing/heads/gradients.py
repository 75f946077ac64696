"""How much a loss depends on attention to each kind of token (Clark et al. 2019, section 3.2)."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...capture import Batch, Event, Hook, Site, hooked, refuse_infinite, refuse_other_positions
from ...capture.shards import Record
from ...corpora import Encoding
from ...errors import CaptureError
from ...models import LoadedModel
from .options import ScanOptions

#: What the model reads. The paper does not say which of the two it used.
VARIANTS = ("masked", "unmasked")
#: Kinds of keys. Punctuation is what `heads.csv` calls so.
KEYS = ("cls", "sep", "punctuation", "other")
#: The share of a text's own tokens, specials left out, that `masked` replaces by the mask token.
MASKED = 0.15


@dataclass(frozen=True)
class Loss:
    """What is differentiated, added up over the texts of a batch: no text rescales another."""

    name: str
    total: Callable[[Tensor, Batch, Tensor, Tensor], Tensor]
    """Of the model's output, the batch as it is unmasked, the tokens to predict (batch, token),
    and the output of the unmasked batch, held constant."""


def _original_tokens(output: Tensor, batch: Batch, predicted: Tensor, intact: Tensor) -> Tensor:
    ids = batch.inputs["input_ids"].to(output.device)
    return functional.cross_entropy(output[predicted], ids[predicted], reduction="sum")


def _next_tokens(output: Tensor, batch: Batch, predicted: Tensor, intact: Tensor) -> Tensor:
    ids, later = batch.inputs["input_ids"].to(output.device)[:, 1:], predicted[:, 1:]
    return functional.cross_entropy(output[:, :-1][later], ids[later], reduction="sum")


def _projection(output: Tensor, batch: Batch, predicted: Tensor, intact: Tensor) -> Tensor:
    weights = batch.mask.to(output)[..., None]
    embedding, reference = (
        (hidden * weights).sum(1) / weights.sum(1) for hidden in (output, intact)
    )
    return ((embedding * reference).sum(1) / reference.norm(dim=1)).sum()


def _predicted_class(output: Tensor, batch: Batch, predicted: Tensor, intact: Tensor) -> Tensor:
    return output.gather(1, intact.argmax(1, keepdim=True)).sum()


#: By task. Cross entropies are sums over the tokens to predict: the masked ones, or, in a text
#: without masks, every token but specials. The other losses are those of the intact text: its
#: predicted class, and ⟨e(x), e₀⟩/‖e₀‖ with e the mean-pooled last hidden state, e₀ that of the
#: intact text.
LOSSES = {
    "masked-lm": Loss("cross entropy of the original tokens", _original_tokens),
    "causal-lm": Loss("cross entropy of the next tokens", _next_tokens),
    "encoder": Loss("projection on the intact embedding", _projection),
    "classification": Loss("logit of the predicted class", _predicted_class),
}


def loss_of(model: LoadedModel) -> Loss:
    """The loss whose gradient is taken, by the task that the model was loaded for.

    Raises:
        CaptureError: a model with encoder and decoder.
    """
    if model.task not in LOSSES or model.reader is not model.module:
        raise CaptureError(
            f"{model.name} (task {model.task}) has an encoder and a decoder; gradients of "
            "attention are taken of models with one stack. Leave gradients out of the analyses, "
            "or load such a model."
        )
    return LOSSES[model.task]


def gradient_records(model: LoadedModel, batch: Batch, options: ScanOptions) -> list[Record]:
    """`gradients` (1, variant, layer, head, query, key) of each text of a batch.

    The mean of |∂L/∂α_ij| over the weights α_ij that the mask lets exist, by the kind of the
    query (`queries.QUERIES`) and of the key (`KEYS`); NaN where there are none, where a text has
    nothing to predict, and for `masked` where the model predicts next tokens or its tokenizer has
    no mask token. α is what weighs the values, after the softmax; the weights of a row are free
    of each other. In the last layer of a language model, rows that predict nothing have 0. Every
    layer's whole map exists at once, so that long texts need much memory.

    Raises:
        CaptureError: a model with two stacks, positions that are no tokens, or a number that is
            not finite.
    """
    loss, kinds = loss_of(model), _Kinds.of(batch)
    predicted = [_own_tokens(encoding, model.task) for encoding in batch.encodings]
    intact, unmasked = _means(model, batch, batch.inputs, _laid(predicted, batch), kinds, loss)
    masked = torch.full_like(unmasked, torch.nan)
    mask_token = model.tokenizer.mask_token_id
    if mask_token is not None and model.task != "causal-lm":
        drawn = _laid([masked_tokens(one, options.seed) for one in batch.encodings], batch)
        ids = batch.inputs["input_ids"].masked_fill(drawn, mask_token)
        inputs = {**batch.inputs, "input_ids": ids}
        _, masked = _means(model, batch, inputs, drawn, kinds, loss, intact)
    found = torch.stack([masked, unmasked], dim=1)
    return [{"gradients": found[i : i + 1]} for i in range(len(batch))]


def masked_tokens(encoding: Encoding, seed: int) -> np.ndarray:
    """(token,), True for the tokens to mask: at least one, chosen by the seed and the text alone.

    Every one becomes the mask token; none is kept or replaced by a random one.
    """
    texts = encoding.sentence.text + (encoding.pair.text if encoding.pair else "")
    own = np.flatnonzero(~encoding.added)
    generator = np.random.default_rng([seed, zlib.crc32(texts.encode())])
    chosen = generator.choice(own, max(1, round(MASKED * len(own))), replace=False)
    return np.isin(np.arange(len(encoding)), chosen)


def _own_tokens(encoding: Encoding, task: str) -> np.ndarray:
    """(token,), True for the tokens that an unmasked text has the model predict."""
    own = ~encoding.added
    # Before the first token there is nothing to predict it from.
    return own & (np.arange(len(own)) > 0) if task == "causal-lm" else own


def _laid(marks: Sequence[np.ndarray], batch: Batch) -> Tensor:
    """(batch, token) from the marks of each text, False at padding."""
    laid = torch.zeros(batch.mask.shape, dtype=torch.bool)
    for row, own in enumerate(marks):
        laid[row, batch.mask[row].cpu().bool()] = torch.from_numpy(own)
    return laid.to(batch.mask.device)


@dataclass(frozen=True)
class _Kinds:
    """Which token is of which kind: 1 or 0, and 0 for padding."""

    queries: Tensor
    """(batch, 1, query kind, token)."""
    keys: Tensor
    """(batch, 1, token, key kind)."""

    @staticmethod
    def of(batch: Batch) -> "_Kinds":
        texts = batch.encodings
        cls = _laid([one.cls for one in texts], batch)
        sep = _laid([one.sep for one in texts], batch)
        punctuation = _laid([one.punctuation for one in texts], batch)
        plain = batch.mask.bool() & ~cls & ~sep
        queries = torch.stack([cls, sep, plain], dim=1)
        keys = torch.stack([cls, sep, punctuation, plain & ~punctuation], dim=2)
        return _Kinds(queries[:, None].float(), keys[:, None].float())

    def sums(self, numbers: Tensor) -> Tensor:
        """Of (batch, head, query, key): (batch, head, query kind, key kind)."""
        return self.queries.to(numbers) @ numbers @ self.keys.to(numbers)


def _means(
    model: LoadedModel,
    batch: Batch,
    inputs: dict[str, Tensor],
    predicted: Tensor,
    kinds: _Kinds,
    loss: Loss,
    intact: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The model's output, and the means of one variant (batch, layer, head, query, key)."""
    maps: dict[Site, Tensor] = {}
    visible: dict[Site, Tensor] = {}

    def keep(event: Event) -> Tensor:
        refuse_other_positions(event, batch.mask.shape[1])
        attention = event.attention
        if not attention.requires_grad:
            # The weights before it are frozen: the graph begins here.
            attention = attention.detach().requires_grad_()
        maps[event.site], visible[event.site] = attention, event.visible
        return attention

    with torch.enable_grad(), hooked(model.module, Hook(edit_attention=keep)) as sites:
        output = model.module(**inputs)[0].float()
        intact = output.detach() if intact is None else intact
        total = loss.total(output, batch, predicted.to(output.device), intact)
        gradients = torch.autograd.grad(total, [maps[site] for site in sites])
    seen = [visible[site].float() for site in sites]
    sums = [kinds.sums(g.abs().float() * s).cpu() for g, s in zip(gradients, seen, strict=True)]
    added = torch.stack(sums, dim=1)
    refuse_infinite(added.numpy(), sites, batch.encodings, "gradient of attention")
    counts = torch.stack([kinds.sums(s).cpu() for s in seen], dim=1)
    counts *= predicted.any(1).cpu()[:, None, None, None, None]
    return intact, torch.where(counts > 0, added / counts, torch.nan)
