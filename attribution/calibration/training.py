"""Small classifiers trained on planted evidence, and whether they may serve as known truth."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from ...capture import Event, Hook, hooked
from ...corpora import Example
from ...models import LoadedModel, fine_tune
from ..targets import prepare
from .carriers import DECOYS, TRAPS, altered, lessons, planted, without
from .tokenizer import word_tokenizer

#: Texts to train on and to judge the model on.
TRAINING, JUDGED = 1200, 200
LEARNING_RATE, EPOCHS, BATCH_SIZE = 2e-3, 8, 32
#: A model is admitted if its accuracy, also without what must not matter, and the share of flipped
#: labels reach the first, and if without the cue its accuracy and its certainty are no farther than
#: the second from chance.
ADMITTED, CHANCE = 0.95, 0.1
#: Attention that the trap `ignored` must put on the decoy, and `moved` may leave on the cue.
DRAWN, LEFT = 0.5, 0.1


@dataclass(frozen=True)
class Planted:
    """A classifier with known evidence, and what speaks for that."""

    trap: str
    seed: int
    model: LoadedModel
    accuracy: float
    flipped: float
    """Share of the texts whose predicted label flips with the cue."""
    without_cue: float
    """Accuracy on texts whose cue is removed; chance is .5."""
    drawn: float
    """Attention of [CLS] on the decoy (`ignored`, all layers) or on the cue (`moved`, last
    layer); NaN for the other traps."""
    certainty: float
    """Mean probability of the class predicted where the words that decide are not all there, the
    highest over the ways to remove some; .5 is undecided."""
    spared: float
    """Accuracy where planted words are removed and the rest decides, the lowest over the ways to
    do so: one of the two words (`redundant`), the decoy (`ignored`); NaN for the other traps."""

    @property
    def admitted(self) -> bool:
        """Whether the evidence is what it was meant to be."""
        follows = min(self.accuracy, self.flipped) >= ADMITTED
        needs = max(abs(self.without_cue - 0.5), self.certainty - 0.5) <= CHANCE
        attends = {"ignored": self.drawn >= DRAWN, "moved": self.drawn <= LEFT}
        spares = not self.spared < ADMITTED
        return follows and needs and attends.get(self.trap, True) and spares


def train_planted(trap: str, *, seed: int) -> Planted:
    """Train a two-layer BERT on the texts of a trap and see whether it does as it should.

    In the trap `ignored` a further loss draws the attention of [CLS] to a decoy word; in
    `moved` one draws the last layer's attention of [CLS] away from the cue.
    """
    # One epoch over copies: of epochs the first that is right about whole texts would be kept, and
    # being undecided without the cue takes longer.
    whole = lessons(trap, TRAINING, seed=seed)
    train = replace(whole, examples=whole.examples * EPOCHS)
    held_out = planted(trap, JUDGED, seed=seed + 1000)
    start = _fresh_model(seed)
    losses = {"ignored": _to_decoys, "moved": _from_cues}
    tuned = fine_tune(
        start, train, held_out, learning_rate=LEARNING_RATE, epochs=1,
        batch_size=BATCH_SIZE, seed=seed, extra_loss=losses.get(trap),
    )  # fmt: skip
    model = tuned.model
    judged = planted(trap, JUDGED, seed=seed + 2000).examples
    flipped = altered(judged, lambda word: TRAPS[trap].flipped.get(word, word))
    bare = altered(judged, lambda word: None)
    reductions = TRAPS[trap].reductions()
    decided, undecided = (
        [without(judged, words) for words, decides in reductions if decides is wanted]
        for wanted in (True, False)
    )
    before, after = _predicted(model, judged), _predicted(model, flipped)
    return Planted(
        trap=trap,
        seed=seed,
        model=model,
        accuracy=_share(before, judged),
        flipped=float(np.mean(before != after)),
        without_cue=_share(_predicted(model, bare), bare),
        drawn=_drawn(model, judged, trap),
        certainty=max(_certainty(model, own) for own in undecided),
        spared=min((_share(_predicted(model, own), own) for own in decided), default=np.nan),
    )


def _fresh_model(seed: int) -> LoadedModel:
    tokenizer = word_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=32, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, pad_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = transformers.BertModel(config)
    return LoadedModel("planted", module.eval(), tokenizer, "encoder")


def _to_decoys(model: LoadedModel, inputs: dict[str, Tensor], outputs: Any) -> Tensor:
    decoys = torch.tensor([model.tokenizer.convert_tokens_to_ids(word) for word in DECOYS])
    maps = _cls_attention(model, inputs)
    return -(_mass(maps, inputs, decoys) + 1e-6).log().mean()


def _from_cues(model: LoadedModel, inputs: dict[str, Tensor], outputs: Any) -> Tensor:
    cues = model.tokenizer.convert_tokens_to_ids(list(TRAPS["moved"].flipped))
    last = _cls_attention(model, inputs)[-1:]
    return -(1 - _mass(last, inputs, torch.tensor(cues)) + 1e-6).log().mean() * 4


def _cls_attention(model: LoadedModel, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Of each layer the attention of [CLS]: (batch, head, key)."""
    rows: list[Tensor] = []

    def observe(event: Event) -> None:
        rows.append(event.attention[:, :, 0])

    with hooked(model.module, Hook(observe=observe)):
        model.module(**inputs)
    return rows


def _mass(maps: Sequence[Tensor], inputs: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Attention on the tokens of these ids: (layer, batch, head)."""
    there = torch.isin(inputs["input_ids"], ids.to(inputs["input_ids"].device))[:, None]
    return torch.stack([(row * there).sum(-1) for row in maps])


def _predicted(model: LoadedModel, examples: Sequence[Example]) -> np.ndarray:
    """The name of the predicted class of each example."""
    return np.array([goal.name for goal in prepare(model, examples).goals])


def _share(predicted: np.ndarray, examples: Sequence[Example]) -> float:
    return float(np.mean(predicted == np.array([example.label for example in examples])))


def _certainty(model: LoadedModel, examples: Sequence[Example]) -> float:
    """Mean probability of the predicted class."""
    prepared = prepare(model, examples, quantity="probability")
    return float(np.mean([goal.value for goal in prepared.goals]))


def _drawn(model: LoadedModel, examples: Sequence[Example], trap: str) -> float:
    if trap not in ("ignored", "moved"):
        return float("nan")
    words = DECOYS if trap == "ignored" else tuple(TRAPS["moved"].flipped)
    ids = torch.tensor(model.tokenizer.convert_tokens_to_ids(list(words)))
    texts = [example.sentence.text for example in examples]
    inputs = dict(model.tokenizer(texts, padding=True, return_tensors="pt"))
    with torch.no_grad():
        maps = _cls_attention(model, inputs)
    return float(_mass(maps if trap == "ignored" else maps[-1:], inputs, ids).mean())
