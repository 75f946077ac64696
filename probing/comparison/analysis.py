"""Two models compared on the same text: their heads, and their hidden states."""

from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...capture import Shards, capture
from ...corpora import Corpus
from ...errors import BertologyError, CorpusError
from ...models import LoadedModel, provenance
from ...results import Result
from .matching import match_heads, match_table
from .passes import Pair, compared
from .reading import Reading, read_together, sample_states
from .representations import ENOUGH, gather_states, representation_table
from .tables import COLUMNS, LAYER_COLUMNS, SameNumber


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Two models on the same texts; see the functions named for the columns.

    `table`: heads of the same number, by measure: `cosine` of the flattened maps, `jsd` (nats,
    mean over rows), and `cosine_padded` if asked for (`SameNumber`); empty, as `layers` is, where
    the models differ in layers or heads. `layers`: the same, averaged over the heads of a layer.
    `matching`: each head with the head of the second model that is matched with it
    (`match_table`). `representations`: CKA and RSA of hidden states (`representation_table`).
    A cosine near 1 or a divergence near 0 says little by itself: see `null`, what maps of
    different sentences give, and `null_model`, what another seed gives.
    """

    layers: pd.DataFrame
    matching: pd.DataFrame
    representations: pd.DataFrame


def compare_models(
    first: LoadedModel,
    second: LoadedModel,
    corpus: Corpus,
    *,
    maps: str = "token",
    null_model: LoadedModel | None = None,
    tokens: int | None = None,
    padded_to: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare a pretrained model with a fine-tuned one, a teacher with a student, or two seeds.

    Kovaleva et al. 2019, section 4.3, for heads of the same number. Of a text of more than 128
    rows, 128 are drawn. Each text is read once by the first model, and twice by the second one:
    for itself, and for another text of the same length, the null.

    Args:
        maps: attention and states of `token`s, for models with one tokenizer, or of `word`s.
        null_model: another pretraining seed of the first model, which says how much two models
            differ that differ in nothing else.
        tokens: how many tokens (or words) have their hidden states compared, drawn evenly from
            all units (default: 10 for each dimension of the wider model, or all there are).
        padded_to: also the cosine of maps padded to so many tokens, padding included, as the
            released code has it (there: 200).

    Raises:
        BertologyError: an option that does not exist.
        ModelError: different tokenizers, and maps between tokens.
        CorpusError: too few texts fit the models, or a text is longer than `padded_to`.
        CaptureError: attention or hidden states cannot be captured.
    """
    others = [second] if null_model is None else [second, null_model]
    reading = read_together([first, *others], corpus, maps)
    _check_padded(padded_to, reading, [first, *others])
    if tokens is not None and tokens < 1:
        raise BertologyError(f"tokens is {tokens!r}; give a number from 1, or None.")
    count = tokens or ENOUGH * max(_width(model, reading) for model in (first, second))
    chosen = sample_states(reading, count, seed=seed)
    pair = Pair(first, second, reading, chosen, seed, padded_to)
    with ExitStack() as stack:
        shards = stack.enter_context(compared(pair))
        null_pair = null_shards = None
        if null_model is not None:
            null_pair = replace(pair, second=null_model)
            null_shards = stack.enter_context(compared(null_pair))
        found = _tables(pair, shards, null_pair, null_shards)
    return Comparison(
        **found,
        provenance=provenance(
            first, corpus, seed=seed, skipped=reading.skipped,
            second=_named(second), null_model=_named(null_model) or "none was given",
            maps=maps, padded_to=padded_to, tokens=sum(map(len, chosen)),
            texts_without_partner=int((reading.partners < 0).sum()),
        ),
    )  # fmt: skip


def _tables(
    pair: Pair, shards: Shards, null_pair: Pair | None, null_shards: Shards | None
) -> dict[str, pd.DataFrame]:
    units, seed = pair.reading.units, pair.seed
    table, layers = pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(LAYER_COLUMNS))
    if pair.same_layout:
        comparable = null_shards if null_pair is not None and null_pair.same_layout else None
        same = SameNumber(pair.heads[0], pair.measures, shards, comparable, units, seed)
        table, layers = same.by_head(), same.by_layer()
    null_matching = None if null_shards is None else match_heads(null_shards, units)
    matching = match_table(match_heads(shards, units), *pair.heads, null_matching, seed=seed)
    counts = np.array([len(places) for places in pair.chosen])
    null_states = None if null_shards is None else gather_states(null_shards, counts, units)
    states = gather_states(shards, counts, units)
    representations = representation_table(states, null_states, seed=seed)
    return {
        "table": table, "layers": layers, "matching": matching, "representations": representations
    }  # fmt: skip


def _width(model: LoadedModel, reading: Reading) -> int:
    """Dimensions of a hidden state."""
    (captured,) = capture(model, reading.corpus.sentences[:1], what=("hidden_states",))
    return np.asarray(captured.hidden_states).shape[-1]


def _check_padded(padded_to: int | None, reading: Reading, models: list[LoadedModel]) -> None:
    if padded_to is None:
        return
    if reading.maps != "token":
        raise BertologyError("padded_to needs maps between tokens: maps='token'.")
    longest, sentence = int(reading.sizes.max()), int(reading.sizes.argmax())
    if longest > padded_to:
        raise CorpusError(
            f"The text {reading.corpus.sentences[sentence].id!r} has {longest} tokens, more than "
            f"padded_to={padded_to}; give a larger number, or leave the text out."
        )
    for model in models:
        if model.max_tokens is not None and model.max_tokens < padded_to:
            raise BertologyError(
                f"padded_to is {padded_to}, and {model.name} reads at most {model.max_tokens} "
                "tokens; give a smaller number."
            )


def _named(model: LoadedModel | None) -> dict[str, str | None] | None:
    if model is None:
        return None
    return {
        "name": model.name, "revision": model.revision, "weights_sha256": model.weights_sha256,
        "tokenizer": type(model.tokenizer).__name__, **model.variant,
    }  # fmt: skip
