"""The `erase_and_measure` analysis: what a model loses with a property of its hidden states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassifierMixin
from tqdm.auto import tqdm

from ....capture.blocks import stack_blocks
from ....corpora import Corpus, encode_all
from ....errors import BertologyError
from ....models import LoadedModel, provenance
from ....results import Result
from ..checks import check_items
from ..estimators.linear import LinearProbe
from ..estimators.mlp import MLPProbe
from ..items import items_of, pooled
from ..splits import check_apart
from ..states import States, states_of_model
from ..tasks import Task, task_of
from .eraser import Eraser
from .family import CONTROLS, ERASERS, fit_family
from .leace import concept_erasure
from .prediction import MASKED_WORDS, questions_of
from .scores import Probing, Text, erased_words, prediction_scores
from .table import rows_of, table_of

#: The mean over fewer draws of a control says little.
MIN_DRAWS = 3


@dataclass(frozen=True, repr=False)
class Erasure(Result):
    """What erasing a task changes; one row per hidden state, eraser and metric.

    `eraser`: `none` (the intact model), `inlp` and `leace`, and for each of these (`matched_to`)
    the controls `random_rank` (as many random dimensions), `random_variance` (a random subspace
    of the same share of variance) and `shuffled_labels` (the same method on labels in random
    order): means over `draws` draws, whose standard deviation is `sd_over_draws`. `rank`: lost
    dimensions, `removed_variance`: lost share of the variance of the training items; means over
    draws.

    `metric`: `linear_accuracy` and `mlp_accuracy` of probes trained anew on the erased states, for
    `probed_task` at `probed_layer` (the erased hidden state, or the last one, which is computed
    from it); `majority` is what the most frequent training label scores. Then the effect on the
    model itself: `masked_token_accuracy` or `next_token_accuracy`, the mean log-probability of the
    right token (`…_log_probability_bits`) and the divergence of the predicted distribution from
    the intact one (`kl_bits`, D(intact ‖ erased)); for models without such a head
    `embedding_cosine`, of the mean-pooled last hidden state with the intact one. `n`: words,
    predictions or sentences.

    `change` = value − `intact`. Of `inlp` and `leace`: `control` is the value with the random
    subspace of equal rank, `difference` = value − control; `over_random_variance` and
    `over_shuffled_labels` are the differences from the other controls. Intervals are 95 %, over
    the units named in the provenance, paired; they say nothing about other draws or training
    data. p: two-sided sign-flip over units, Holm over the rows, for each control on its own.
    `descriptive` rows have too little data: Wilson's interval, and differences have neither
    interval nor p.
    """


def erase_and_measure(
    model: LoadedModel,
    train: Corpus,
    evaluate: Corpus,
    task: str | Task,
    layers: Sequence[int],
    *,
    seed: int = 0,
    other_task: str | Task | None = None,
    draws: int = MIN_DRAWS,
    affine: bool = True,
    probes: Mapping[str, ClassifierMixin] | None = None,
) -> Erasure:
    """Erase a task at a hidden state inside the forward pass, and measure what is lost.

    At each of the layers on its own: the erasers learn from the intact states of the training
    part, are applied to every token of the texts (special tokens too), and later layers compute on
    what is left. They learn from words (means of their tokens) or sentences (means of their words);
    as erasing is affine, it erases these means when it is applied to each token. A drop that the
    controls do not show says that the model uses what was erased; what a probe can read off says
    only that it is there (Elazar et al. 2021). A masked model predicts three words of one token of
    each sentence, masked one at a time, a causal one every next token.

    Args:
        task: a name such as `upos`, or a task of your own, with one span for each item: of words
            or of sentences.
        layers: hidden states: 0 is what the first block reads, k+1 the output of block k.
        other_task: probed as well, to see what else is lost.
        draws: of each control, at least 3.
        affine: let INLP and its random subspaces keep the mean of the states; False projects
            through the origin, as published. LEACE always keeps it.
        probes: estimators that are trained anew on erased states, by the name in `metric`
            (default: `linear` and `mlp`).

    Raises:
        BertologyError: a task with pairs, no or unknown layers, too few draws, or the library
            concept-erasure is missing.
        CorpusError: a part lacks the annotation or has one label only, the parts share sentences,
            or nothing fits.
        CaptureError: the hidden states cannot be had.
    """
    concept_erasure()
    tasks = [task_of(each) for each in (task, other_task) if each is not None]
    last = _check(model, tasks, layers, draws)
    check_apart(train, evaluate)
    wanted = sorted({*layers, last})
    learned, scored = (states_of_model(model, part, wanted) for part in (train, evaluate))
    texts = [_text(model, states, tasks) for states in (learned, scored)]
    for asked in tasks:
        check_items(*(text.items[asked.name] for text in texts))
    items = texts[0].items[tasks[0].name]
    questions = questions_of(model, texts[1].encodings, seed=seed)
    chosen = default_probes(model, seed) if probes is None else dict(probes)
    order = list(dict.fromkeys(layers))
    rows = []
    with tqdm(
        total=_fits(order, last, draws) * len(tasks) * len(chosen), desc="probes of erased states",
        unit="probe", dynamic_ncols=True,
    ) as bar:  # fmt: skip
        probing = Probing(chosen, texts[0], texts[1], bar.update)
        intact = {at: probing.right([(learned.read(at), scored.read(at))]) for at in wanted}
        for layer in order:
            before = learned.read(layer), scored.read(layer)
            for name in ERASERS:
                family = fit_family(
                    name, pooled(before[0], items), items.labels, items.sentences,
                    affine=affine, seeds=_seeds(seed, layer, draws),
                )  # fmt: skip
                counts = [len(fitted.draws) for fitted in family]
                after = [
                    (_transformed(eraser, before[0]), _transformed(eraser, before[1]))
                    for fitted in family
                    for eraser in fitted.draws
                ]
                scores = probing.scores(layer, intact[layer], probing.right(after), counts)
                if layer != last:
                    parts = [erased_words(model, text.encodings, layer, family) for text in texts]
                    after = list(zip(*parts, strict=True))
                    scores += probing.scores(last, intact[last], probing.right(after), counts)
                scores += prediction_scores(model, questions, scored.units, layer, family)
                for score in scores:
                    rows += rows_of(tasks[0].name, layer, family, score, seed=seed)
    return Erasure(
        table=table_of(rows),
        provenance=provenance(
            model, evaluate, seed=seed, skipped=[list(pair) for pair in scored.skipped],
            train=train.name, train_sha256=train.sha256, train_sentences=len(train),
            train_items=len(items), train_skipped=[list(pair) for pair in learned.skipped],
            task=tasks[0].name, other_task=None if len(tasks) == 1 else tasks[1].name,
            layers=order, draws=draws, affine=affine, masked_words=MASKED_WORDS,
            probes={name: repr(probe) for name, probe in chosen.items()},
        ),
    )  # fmt: skip


def _check(model: LoadedModel, tasks: Sequence[Task], layers: Sequence[int], draws: int) -> int:
    """Refuse what cannot be done; the number of the last hidden state."""
    for task in tasks:
        if task.level == "pair":
            raise BertologyError(
                f"The task {task.name!r} is about pairs; an eraser acts on one state at a time. "
                "Give a task about words or sentences."
            )
        if task.reads is not None:
            raise BertologyError(
                f"The task {task.name!r} is about other text than was given; an eraser is measured "
                "on text as it stands. Give another task."
            )
    if len({task.name for task in tasks}) < len(tasks):
        raise BertologyError(f"other_task is the task itself, {tasks[0].name!r}; give another.")
    if draws < MIN_DRAWS:
        raise BertologyError(f"draws is {draws!r}; at least {MIN_DRAWS} are needed.")
    last = len(stack_blocks(model.reader).names)
    if not layers or set(layers) - set(range(last + 1)):
        raise BertologyError(
            f"layers is {list(layers)}; give hidden states from 0 (the embeddings) to {last}."
        )
    return last


def _text(model: LoadedModel, states: States, tasks: Sequence[Task]) -> Text:
    encodings, _ = encode_all(states.sentences, model.tokenizer, model.max_tokens)
    return Text(tuple(encodings), {task.name: items_of(task, states) for task in tasks})


def default_probes(model: LoadedModel, seed: int) -> dict[str, ClassifierMixin]:
    """A linear probe, and one with a hidden layer, trained where the model is."""
    device = str(model.device)
    return {
        "linear": LinearProbe(seed=seed, device=device),
        "mlp": MLPProbe(seed=seed, device=device),
    }


def _fits(layers: Sequence[int], last: int, draws: int) -> int:
    """How often each probe is trained on each task."""
    erased = sum(1 if layer == last else 2 for layer in layers)
    return len({*layers, last}) + erased * len(ERASERS) * (1 + len(CONTROLS) * draws)


def _seeds(seed: int, layer: int, draws: int) -> list[int]:
    """One for the eraser and one for each draw of its controls."""
    return np.random.SeedSequence((seed, layer)).generate_state(1 + draws).tolist()


def _transformed(eraser: Eraser, words: np.ndarray) -> np.ndarray:
    """The erased states of words; NaN where a word has no token."""
    found = np.full_like(words, np.nan)
    known = ~np.isnan(words[:, 0])
    found[known] = eraser.transform(words[known])
    return found
