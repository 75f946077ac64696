"""Fine-tuning: what is learned, what is kept, and what is refused."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import bertology
from bertology import capture
from bertology.corpora.labelled import Example, Examples
from bertology.corpora.text import text_to_sentence
from bertology.errors import CorpusError, ModelError, OutputError
from bertology.models import FineTuned, fine_tune, load_model
from bertology.models.objectives import IGNORE, Objective, grouped_by_length, read_texts

FAST: dict[str, Any] = {"learning_rate": 4e-3, "batch_size": 8, "epochs": 5, "patience": 5}


def examples_of(
    label: Callable[[list[str], np.random.Generator], str | None],
    *,
    seed: int,
    n: int = 200,
    paired: bool = False,
) -> Examples:
    """Texts of 3 to 8 words drawn from w10 … w39, each with a label."""
    draw, found = np.random.default_rng(seed), []
    for i in range(n):
        words = [f"w{k}" for k in draw.integers(10, 40, size=draw.integers(3, 9))]
        pair = text_to_sentence(f"w{draw.integers(1, 3)}", id="") if paired else None
        given = [*words, *(pair.words if pair else ())]
        found.append(
            Example(text_to_sentence(" ".join(words), id=str(i)), pair, label(given, draw))
        )
    return Examples(f"toy {seed}", tuple(found), "0" * 64)


def by_word(words: list[str], _: np.random.Generator) -> str:
    """The label that one word decides: whether an early word is in the text."""
    return "early" if any(int(word[1:]) < 14 for word in words) else "late"


def by_coin(_: list[str], draw: np.random.Generator) -> str:
    return "early" if draw.random() < 0.5 else "late"


def by_pair(words: list[str], _: np.random.Generator) -> str:
    return "early" if words[-1] == "w1" else "late"


def linear(words: list[str], _: np.random.Generator) -> str:
    """Mean over the words of a value that each has, about of variance 1."""
    values = [(int(word[1:]) - 24.5) / 4 for word in words]
    return f"{3 + np.mean(values)}"


def weights(tuned: Any) -> dict[str, torch.Tensor]:
    return dict(tuned.module.state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def accuracy(model: Any, data: Examples) -> float:
    """Accuracy by single texts without padding, an independent way to the same number."""
    hits = []
    for example in data.examples:
        texts = [example.sentence.text, *([example.pair.text] if example.pair else [])]
        inputs = model.tokenizer(*texts, return_tensors="pt")
        with torch.no_grad():
            predicted = model.module(**inputs).logits.argmax().item()
        hits.append(model.labels[predicted] == example.label)
    return float(np.mean(hits))


@pytest.fixture(scope="module")
def bert(tiny_model: Any) -> Any:
    """A tiny BERT with dropout, its weights of the usual size."""
    model = tiny_model("bert")
    for parameter in model.module.parameters():
        if parameter.dim() > 1:
            parameter.data *= 0.2
    return model


@pytest.fixture(scope="module")
def by_words(bert: Any) -> FineTuned:
    return fine_tune(bert, examples_of(by_word, seed=1), examples_of(by_word, seed=2), **FAST)


def test_a_word_that_decides_the_label_is_found(by_words):
    best = by_words.table.set_index("epoch")["value"][by_words.best_epoch]
    assert best > 0.97
    # Recomputed text by text from the returned model, which is therefore that of the best epoch.
    assert accuracy(by_words.model, examples_of(by_word, seed=2)) == pytest.approx(best)
    assert by_words.model.labels == ("early", "late")
    assert accuracy(by_words.model, examples_of(by_word, seed=3)) > 0.95


def test_random_labels_stay_at_chance_on_other_texts(bert):
    tuned = fine_tune(bert, examples_of(by_coin, seed=1), examples_of(by_coin, seed=2), **FAST)
    fresh = accuracy(tuned.model, examples_of(by_coin, seed=3, n=400))
    assert abs(fresh - 0.5) < 0.1  # four standard errors


def test_the_second_text_of_a_pair_is_read(bert):
    train, held_out = (examples_of(by_pair, seed=seed, paired=True) for seed in (1, 2))
    tuned = fine_tune(bert, train, held_out, **FAST)
    assert accuracy(tuned.model, held_out) > 0.97
    alone = Examples("alone", tuple(replace(e, pair=None) for e in held_out.examples), "")
    assert accuracy(tuned.model, alone) < 0.7


def test_regression_recovers_a_linear_target(bert):
    options = {**FAST, "epochs": 10, "patience": 10}
    train, held_out = examples_of(linear, seed=1, n=300), examples_of(linear, seed=2)
    tuned = fine_tune(bert, train, held_out, task="regression", **options)
    predicted = []
    for example in held_out.examples:
        inputs = tuned.model.tokenizer(example.sentence.text, return_tensors="pt")
        with torch.no_grad():
            predicted.append(tuned.model.module(**inputs).logits.item())
    true = np.array([float(example.label) for example in held_out.examples])
    r2 = 1 - np.sum((true - predicted) ** 2) / np.sum((true - true.mean()) ** 2)
    best = tuned.table.set_index("epoch").loc[tuned.best_epoch]
    assert best["metric"] == "r2"
    assert best["value"] == pytest.approx(r2, abs=1e-4)
    assert r2 > 0.9
    assert tuned.model.labels == ("value",)


def alternating(n: int, seed: int) -> Examples:
    """Texts in which each word is followed by its successor: w10 w11 w12 …"""
    draw, found = np.random.default_rng(seed), []
    for i in range(n):
        first = draw.integers(10, 30)
        text = " ".join(f"w{first + k}" for k in range(draw.integers(4, 9)))
        found.append(Example(text_to_sentence(text, id=str(i))))
    return Examples(f"successors {seed}", tuple(found), "0" * 64)


@pytest.mark.parametrize(("task", "family"), [("masked-lm", "bert"), ("causal-lm", "gpt2")])
def test_language_models_learn_more_than_the_words_there_are(task, family, tiny_model, bert):
    # A masked language model starts from an encoder, and gets a new head.
    model = bert if task == "masked-lm" else tiny_model(family, task)
    train, held_out = alternating(200, 1), alternating(100, 2)
    tuned = fine_tune(model, train, held_out, task=task, **FAST)
    best = tuned.table.set_index("epoch").loc[tuned.best_epoch]
    assert best["evaluation_loss"] < math.log(28) - 0.5  # 28 words occur
    assert best["value"] == pytest.approx(math.exp(best["evaluation_loss"]))
    assert tuned.model.task == task
    noise = examples_of(lambda *_: None, seed=2)
    unlearnable = fine_tune(model, examples_of(lambda *_: None, seed=1), noise, task=task, **FAST)
    # Words drawn evenly from 30 cannot be told better than that.
    assert unlearnable.table["evaluation_loss"].min() > math.log(30) - 0.1


def test_causal_loss_is_that_of_transformers(tiny_model):
    model = tiny_model("gpt2", "causal-lm")
    texts = read_texts(model, alternating(1, 0), "causal-lm")
    objective = Objective("causal-lm", model)
    inputs, targets = objective.batch(texts, np.array([0]), np.random.default_rng(0))
    output = model.module(**inputs, labels=inputs["input_ids"])
    assert objective.loss(output.logits, targets).item() == pytest.approx(output.loss.item())


def test_masks_follow_the_recipe(bert):
    words = " ".join(f"w{k % 30 + 10}" for k in range(36))
    data = Examples("long", (Example(text_to_sentence(words, id="1")),), "")
    texts = read_texts(bert, data, "masked-lm")
    objective, draw = Objective("masked-lm", bert), np.random.default_rng(0)
    batches = [objective.batch(texts, np.array([0]), draw) for _ in range(2000)]
    ids = torch.cat([inputs["input_ids"] for inputs, _ in batches])
    targets = torch.cat([wanted for _, wanted in batches])
    before = torch.from_numpy(texts.encodings[0].ids)
    chosen = targets != IGNORE
    assert chosen.sum(1).unique().tolist() == [5]  # 15 % of 36
    assert not chosen[:, [0, -1]].any()  # specials
    assert (targets == before)[chosen].all()
    assert (ids == before)[~chosen].all()
    # 10,000 draws: four standard errors are below .016.
    masked = (ids == bert.tokenizer.mask_token_id)[chosen].double().mean().item()
    stayed = (ids == before)[chosen].double().mean().item()
    assert masked == pytest.approx(0.8 + 0.1 / 60, abs=0.016)
    assert stayed == pytest.approx(0.1 + 0.1 / 60, abs=0.016)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(bert, by_words):
    torch.rand(7)  # the state of the global generator must not matter
    again, other = (
        fine_tune(bert, examples_of(by_word, seed=1), examples_of(by_word, seed=2),
                  **{**FAST, "seed": seed}) for seed in (0, 1)
    )  # fmt: skip
    assert same(weights(by_words.model), weights(again.model))
    assert by_words.table.equals(again.table)
    assert not same(weights(by_words.model), weights(other.model))


def test_neither_the_model_nor_the_random_state_is_touched(bert):
    before = {name: value.clone() for name, value in weights(bert).items()}
    labels = bert.module.config.id2label
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tuned = fine_tune(
        bert, examples_of(by_word, seed=1, n=32), examples_of(by_word, seed=2, n=32), epochs=1
    )
    assert torch.equal(torch.rand(3), expected)
    assert same(before, weights(bert))
    assert bert.module.config.id2label == labels
    assert not bert.module.training
    assert not tuned.model.module.training
    assert tuned.model.module is not bert.module


class _Scripted:
    """Replaces the metric by values that are known."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, values: list[float]):
        remaining = iter(values)
        monkeypatch.setattr(Objective, "value", lambda *_: next(remaining))


def test_the_best_epoch_is_kept_and_training_stops_when_patience_ends(bert, monkeypatch):
    data = examples_of(by_word, seed=1, n=32), examples_of(by_word, seed=2, n=32)
    options = {"epochs": 8, "batch_size": 16, "learning_rate": 1e-3}
    _Scripted(monkeypatch, [0.5, 0.8, 0.7, 0.8, 0.9])
    tuned = fine_tune(bert, *data, patience=2, **options)
    assert tuned.table["epoch"].tolist() == [1, 2, 3, 4]
    assert tuned.table["step"].tolist() == [2, 4, 6, 8]
    assert tuned.best_epoch == 2  # an equal value later is not better
    _Scripted(monkeypatch, [0.5, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    patient = fine_tune(bert, *data, patience=8, **options)
    assert len(patient.table) == 8
    assert same(weights(tuned.model), weights(patient.model))
    _Scripted(monkeypatch, [0.5, 0.8, 0.9, 0.1, 0.1])
    later = fine_tune(bert, *data, patience=2, **options)
    assert later.best_epoch == 3
    assert not same(weights(tuned.model), weights(later.model))


def test_an_undefined_metric_is_the_worst(bert, monkeypatch):
    data = examples_of(by_word, seed=1, n=32), examples_of(by_word, seed=2, n=32)
    for values, best in (
        ([math.nan, 0.5, math.nan], 2), ([0.5, math.nan, 0.6], 3), ([math.nan] * 3, 1)
    ):  # fmt: skip
        _Scripted(monkeypatch, values)
        tuned = fine_tune(bert, *data, patience=3, epochs=3, batch_size=16)
        assert tuned.best_epoch == best


def test_lower_perplexity_is_better(bert, monkeypatch):
    _Scripted(monkeypatch, [9.0, 7.0, 8.0])
    tuned = fine_tune(bert, alternating(20, 1), alternating(20, 2), task="masked-lm", epochs=3)
    assert tuned.best_epoch == 2


def test_a_saved_model_is_the_same_model(by_words, bert, tmp_path):
    folder = tmp_path / "new" / "tuned"
    data = examples_of(by_word, seed=1), examples_of(by_word, seed=2)
    tuned = fine_tune(bert, *data, **FAST, folder=folder)
    assert tuned.folder == folder
    loaded = load_model(folder)
    assert same(weights(tuned.model), weights(loaded))
    assert same(weights(by_words.model), weights(loaded))  # saving changes nothing
    assert (loaded.task, loaded.labels) == ("classification", ("early", "late"))
    assert (loaded.name, loaded.weights_sha256) == (tuned.model.name, tuned.model.weights_sha256)
    text = data[1].examples[0].sentence.text
    assert loaded.tokenizer(text)["input_ids"] == tuned.model.tokenizer(text)["input_ids"]
    kinds = {path.suffix for path in folder.iterdir()}
    assert ".safetensors" in kinds
    assert not kinds & {".bin", ".pt", ".pth", ".pkl"}
    assert [path.name for path in folder.parent.iterdir()] == ["tuned"]
    assert folder.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_nothing(error, bert, tmp_path, monkeypatch):
    def fail(folder: Any, *_: Any, **__: Any) -> None:
        assert (folder / "model.safetensors").exists()  # the weights are written by now
        raise error

    monkeypatch.setattr(bert.tokenizer, "save_pretrained", fail, raising=False)
    data = examples_of(by_word, seed=1, n=32), examples_of(by_word, seed=2, n=32)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        fine_tune(bert, *data, epochs=1, folder=tmp_path / "tuned")
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_from_a_model_with_the_head(by_words):
    data = examples_of(by_word, seed=4), examples_of(by_word, seed=5)
    before = {name: value.clone() for name, value in weights(by_words.model).items()}
    tuned = fine_tune(by_words.model, *data, epochs=1, learning_rate=1e-6)
    assert same(before, weights(by_words.model))
    assert tuned.table["value"].iloc[0] > 0.95  # with a new head it would be at chance
    assert tuned.model.labels == ("early", "late")


def test_an_extra_loss_is_minimised_and_can_reach_attention(bert):
    """Attention of layer 0 is drawn to the first token, which plain training does not do."""
    data = examples_of(by_word, seed=1), examples_of(by_word, seed=2, n=32)
    # One epoch, so that the best is the last.
    options = {**FAST, "batch_size": 4, "epochs": 1}

    def to_first(model: Any, inputs: dict[str, torch.Tensor], outputs: Any) -> torch.Tensor:
        assert outputs.logits.shape == (len(inputs["input_ids"]), 2)
        return -_attention(model, inputs)[..., 0].log().mean()

    plain = fine_tune(bert, *data, **options)
    drawn = fine_tune(bert, *data, **options, extra_loss=to_first)
    inputs = dict(bert.tokenizer("w10 w20 w30 w12 w13", return_tensors="pt"))
    before = _attention(plain.model, inputs)[..., 0].mean().item()
    after = _attention(drawn.model, inputs)[..., 0].mean().item()
    assert before < 0.3 < 0.6 < after


def _attention(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    kept = []
    look = capture.Hook(observe=lambda event: kept.append(event.attention), layers={0})
    with capture.hooked(model.module, look):
        model.module(**inputs)
    return kept[-1]


def test_texts_that_do_not_fit_are_skipped_and_recorded(bert):
    train, held_out = (examples_of(by_word, seed=seed, n=32) for seed in (1, 2))
    long = Example(text_to_sentence("w10 " * 60, id="long"), label="early")
    longer = Examples(train.name, (*train.examples, long), train.sha256)
    tuned = fine_tune(bert, longer, held_out, epochs=1)
    assert tuned.provenance.skipped == [["long", "62 tokens, the model reads at most 40"]]
    assert tuned.provenance.sentences == 32
    assert same(weights(tuned.model), weights(fine_tune(bert, train, held_out, epochs=1).model))
    assert set(tuned.table["n"]) == {32}


def test_batches_hold_every_row_once_and_similar_lengths():
    lengths = np.random.default_rng(0).integers(3, 100, size=1003)
    batches = list(grouped_by_length(lengths, 16, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert [len(batch) for batch in batches].count(16) == 1003 // 16
    spans = [np.ptp(lengths[batch]) for batch in batches]
    assert np.mean(spans) < 20  # of 97; random batches of 16 span 85
    first = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(first, np.arange(len(first)))[0, 1]) < 0.4  # not from short to long


def _relabelled(data: Examples, labels: list[str | None]) -> Examples:
    changed = tuple(
        replace(example, label=label) for example, label in zip(data.examples, labels, strict=True)
    )
    return replace(data, examples=changed)


def test_labels_that_cannot_be_learned_are_refused(bert, monkeypatch):
    monkeypatch.setattr(torch.optim, "AdamW", None)  # no work may have begun
    data = examples_of(by_word, seed=1, n=4)
    mixed = _relabelled(data, ["a", "b", "a", "b"])

    def refused(train: Examples, held_out: Examples, message: str, task: str) -> None:
        with pytest.raises(CorpusError, match=message):
            fine_tune(bert, train, held_out, task=task)

    missing = _relabelled(data, ["a", "b", None, "a"])
    refused(missing, mixed, r"1 of the 4 examples of toy 1 have no label \(the first: '2'\)",
            "classification")  # fmt: skip
    refused(_relabelled(data, ["a"] * 4), mixed, "All 4 training examples have the label 'a'",
            "classification")  # fmt: skip
    refused(mixed, _relabelled(data, ["a", "b", "c", "d"]), r"\['c', 'd'\] are evaluated but not",
            "classification")  # fmt: skip
    refused(mixed, mixed, "'a' is no finite number", "regression")
    numbers = _relabelled(data, ["1", "2", "3", "nan"])
    refused(numbers, numbers, "'nan' is no finite number", "regression")
    good, flat = _relabelled(data, ["1", "2", "3", "4"]), _relabelled(data, ["1", "1.0", "1", "1"])
    refused(flat, good, "All 4 training examples have the label '1'", "regression")
    refused(good, flat, "All 4 evaluation examples have the label '1'", "regression")
    long = Examples("long", (Example(text_to_sentence("w1 " * 60, id="1"), label="a"),), "")
    refused(long, mixed, "long holds no text that tiny bert can read: 1 were skipped, e.g. 62",
            "classification")  # fmt: skip


def test_tasks_that_do_not_fit_the_model_are_refused(bert, by_words, tiny_model):
    data = examples_of(by_word, seed=1, n=8)
    other = _relabelled(data, ["a", "b"] * 4)
    numbers = _relabelled(data, ["1", "2"] * 4)

    def refused(model: Any, examples: Examples, message: str, **options: Any) -> None:
        with pytest.raises(ModelError, match=message):
            fine_tune(model, examples, examples, **options)

    refused(bert, data, "'tagging'; choose one of classification, regression", task="tagging")
    refused(bert, data, r"loaded as encoder.*load it with task='causal-lm'", task="causal-lm")
    refused(tiny_model("gpt2"), data, "has no mask token", task="masked-lm")
    refused(by_words.model, other, r"gives \['early', 'late'\], and the labels \['a', 'b'\]")
    refused(by_words.model, numbers, "and one number are to be learned", task="regression")
    refused(replace(bert, dtype="bfloat16"), data, r"is in bfloat16.*dtype='float32'")
    refused(bert, data, "learning_rate is 0", learning_rate=0)
    refused(bert, data, "patience is 0; give at least 1", patience=0)


def test_a_folder_with_something_in_it_is_refused(bert, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    data = examples_of(by_word, seed=1, n=8)
    with pytest.raises(OutputError, match="is no empty folder"):
        fine_tune(bert, data, data, folder=tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_training_that_diverges_says_so(bert):
    data = examples_of(linear, seed=1, n=32)
    huge = _relabelled(data, [f"{1e30 * float(e.label)}" for e in data.examples])
    with pytest.raises(ModelError, match=r"diverged.*smaller learning_rate"):
        fine_tune(bert, huge, huge, task="regression", epochs=1)


@pytest.mark.slow
def test_the_demo_model_learns_sentiment(shared_file, demo):
    """1,000 sentences and one epoch are a minute on a CPU; the larger class has 51 %."""
    train = bertology.corpora.read_examples(shared_file("sentiment/sst/train.txt"))
    held_out = bertology.corpora.read_examples(shared_file("sentiment/sst/dev.txt"))
    order = np.random.default_rng(0).permutation(len(train))[:1000]
    train = replace(train, examples=tuple(train.examples[i] for i in order))
    tuned = fine_tune(demo, train, held_out, epochs=1, learning_rate=1e-4)
    assert tuned.table["value"].iloc[0] > 0.7
    assert tuned.model.labels == ("negative", "positive")
