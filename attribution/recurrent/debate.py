"""All of the debate's experiments on one data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ...corpora import Examples
from ...corpora.text import units_of
from ...errors import AttributionError
from ...results import Provenance, Result
from ..divergences import jensen_shannon, total_variation
from ..means import mean_over_units
from .adversary import train_adversary
from .correlation import correlation
from .deception import impermissible_mass, train_deceptive
from .instances import Instance, read_instances
from .permutation import permutation
from .removal import decision_flips, removal_shares
from .search import EPSILONS, STEPS, epsilon_curve
from .training import TrainedClassifier, train_classifier

#: λ of the model-consistent adversary.
WEIGHTS = (0.0, 1e-3, 1e-2, 1e-1)
#: ε of the alternatives that are compared with other seeds.
COMPARED = 0.01
#: Words that attention is trained to look away from: those the base attends to most.
IMPERMISSIBLE = 20


@dataclass(frozen=True, repr=False)
class Debate(Result):
    """What `attention_debate` returns; `table` is `correlation.correlation`."""

    permutation: pd.DataFrame
    """A row a text, see `permutation.permutation`."""
    epsilon_curve: pd.DataFrame
    """See `search.epsilon_curve`."""
    alternatives: pd.DataFrame
    """A row a text: `max_attention`, `seeds` (JSD to the attention of other seeds, median),
    `searched` (JSD of the alternative at ε = .01) in nats."""
    accuracy: pd.DataFrame
    """`trained,seed,accuracy`: with attention, with uniform attention, and token by token with
    imposed attention (`guide: …`), on the evaluation data."""
    adversary: pd.DataFrame
    """`weight,accuracy,tvd,jsd`, with intervals: the model-consistent adversary by λ."""
    deception: pd.DataFrame
    """`trained,accuracy,mass,ci_low,ci_high,n`: attention on impermissible words."""
    flips: pd.DataFrame
    """A row a text, see `removal.decision_flips`."""
    removal: pd.DataFrame
    """See `removal.removal_shares`."""


def attention_debate(
    train: Examples,
    evaluate: Examples,
    *,
    encoder: str = "bilstm",
    attention: str = "additive",
    seeds: int = 5,
    epochs: int = 8,
    steps: int = STEPS,
    seed: int = 0,
) -> Debate:
    """Train the debate's classifier on one's own data and repeat all of its experiments.

    The first seed's model is the base. Epochs are chosen on a part of `train`, never on
    `evaluate`; the adversary, the guide and the deceptive model read the same texts.

    Args:
        encoder, attention: see `AttentionClassifier`.
        seeds: models trained with attention, and as many with uniform attention.

    Raises:
        AttributionError: fewer than two seeds, uniform attention, or unusable labels.
    """
    if seeds < 2 or attention == "uniform":
        raise AttributionError(
            f"seeds={seeds}, attention={attention!r}: the debate compares at least 2 seeds of a "
            "model with attention to learn, additive or dot."
        )
    settings = {"encoder": encoder, "epochs": epochs}
    numbers = [seed + k for k in range(seeds)]
    attending = [
        train_classifier(train, encoder=encoder, attention=attention, epochs=epochs, seed=n)
        for n in numbers
    ]
    even = [
        train_classifier(train, encoder=encoder, attention="uniform", epochs=epochs, seed=n)
        for n in numbers
    ]
    texts = evaluate.examples
    _check_labels(attending[0], evaluate)
    units = units_of([example.sentence for example in texts], evaluate.unit)
    base = attending[0]
    instances = read_instances(base, texts)
    curve, found = epsilon_curve(
        base.network, instances, units, seed=seed, epsilons=EPSILONS, steps=steps
    )
    others = [read_instances(model, texts) for model in attending[1:]]
    adversaries = [
        train_adversary(
            base, train, evaluate, read_instances(base, train.examples), weight=weight,
            encoder=encoder, attention=attention, epochs=epochs, seed=seed,
        )
        for weight in WEIGHTS
    ]  # fmt: skip
    accuracies = [
        ("attention", n, m.accuracy(texts)) for n, m in zip(numbers, attending, strict=True)
    ]
    accuracies += [("uniform", n, m.accuracy(texts)) for n, m in zip(numbers, even, strict=True)]
    accuracies += _guide(base, adversaries[-1], train, evaluate, epochs=epochs, seed=seed)
    return Debate(
        table=correlation(base, texts, instances, units, seed=seed),
        permutation=permutation(base.network, instances, seed=seed),
        epsilon_curve=curve,
        alternatives=_alternatives(instances, others, [own.jsd for own in found[COMPARED]]),
        accuracy=pd.DataFrame(accuracies, columns=["trained", "seed", "accuracy"]),
        adversary=_adversary_table(instances, adversaries, evaluate, units, seed),
        deception=_deception(base, instances, train, evaluate, units, attention, settings, seed),
        flips=decision_flips(base.network, instances, seed=seed),
        removal=removal_shares(base.network, instances, units, seed=seed),
        provenance=_provenance(train, evaluate, seed, attention=attention, seeds=numbers,
                               steps=steps, **settings),
    )  # fmt: skip


def _check_labels(base: TrainedClassifier, evaluate: Examples) -> None:
    unknown = sorted({str(example.label) for example in evaluate.examples} - {*base.labels})
    if unknown:
        raise AttributionError(
            f"{evaluate.name} has the labels {unknown}, which training does not; its labels are "
            f"{', '.join(base.labels)}."
        )


def _alternatives(
    instances: Sequence[Instance], others: Sequence[Sequence[Instance]], searched: Sequence[float]
) -> pd.DataFrame:
    rows = []
    for number, instance in enumerate(instances):
        apart = torch.stack([
            jensen_shannon(own[number].attention, instance.attention) for own in others
        ])  # fmt: skip
        rows.append((instance.attention.max().item(), apart.median().item(), searched[number]))
    return pd.DataFrame(rows, columns=["max_attention", "seeds", "searched"])


def _adversary_table(
    instances: Sequence[Instance],
    adversaries: Sequence[TrainedClassifier],
    evaluate: Examples,
    units: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    rows = []
    for weight, model in zip(WEIGHTS, adversaries, strict=True):
        own = read_instances(model, evaluate.examples)
        pairs = list(zip(own, instances, strict=True))
        tvd = [total_variation(a.probabilities, b.probabilities).item() for a, b in pairs]
        jsd = [jensen_shannon(a.attention, b.attention).item() for a, b in pairs]
        means = mean_over_units(np.array([tvd, jsd]).T, units, seed)
        rows.append({
            "weight": weight, "accuracy": model.accuracy(evaluate.examples),
            "tvd": means.mean[0], "tvd_ci_low": means.low[0], "tvd_ci_high": means.high[0],
            "jsd": means.mean[1], "jsd_ci_low": means.low[1], "jsd_ci_high": means.high[1],
            "n": means.n[0], "descriptive": means.descriptive[0],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _guide(
    base: TrainedClassifier,
    adversary: TrainedClassifier,
    train: Examples,
    evaluate: Examples,
    *,
    epochs: int,
    seed: int,
) -> list[tuple[str, int, float]]:
    """Accuracy of a classifier that sees each word alone, under attention it did not learn."""
    both = [*train.examples, *evaluate.examples]
    imposed = {"base": base, "adversary": adversary}
    maps = {
        name: [instance.attention.numpy() for instance in read_instances(model, both)]
        for name, model in imposed.items()
    }
    guided = {
        name: train_classifier(train, evaluate=evaluate, encoder="projection", epochs=epochs,
                               seed=seed, imposed=own, start=base)
        for name, own in maps.items()
    }  # fmt: skip
    rows = [
        (f"guide: {name}", seed, _imposed_accuracy(model, evaluate, maps[name][len(train) :]))
        for name, model in guided.items()
    ]
    for name, attention in (("own", "additive"), ("uniform", "uniform")):
        model = train_classifier(
            train, evaluate=evaluate, encoder="projection", attention=attention, epochs=epochs,
            seed=seed, start=base,
        )  # fmt: skip
        rows.append((f"guide: {name}", seed, model.accuracy(evaluate.examples)))
    return rows


def _imposed_accuracy(
    model: TrainedClassifier, evaluate: Examples, maps: Sequence[np.ndarray]
) -> float:
    instances = read_instances(model, evaluate.examples)
    right = [
        model.labels[int(model.network.decide(own.states, torch.from_numpy(row)).argmax())]
        == example.label
        for own, row, example in zip(instances, maps, evaluate.examples, strict=True)
    ]
    return float(np.mean(right))


def _deception(
    base: TrainedClassifier,
    instances: Sequence[Instance],
    train: Examples,
    evaluate: Examples,
    units: Sequence[int],
    attention: str,
    settings: dict[str, object],
    seed: int,
) -> pd.DataFrame:
    words = _most_attended(train, read_instances(base, train.examples))
    deceptive = train_deceptive(
        base, train, evaluate, words, attention=attention, seed=seed,
        encoder=str(settings["encoder"]), epochs=int(str(settings["epochs"])),
    )  # fmt: skip
    texts = evaluate.examples
    read = {"base": (base, instances), "deceptive": (deceptive, read_instances(deceptive, texts))}
    rows = []
    for name, (model, own) in read.items():
        means = mean_over_units(impermissible_mass(texts, own, words)[:, None], units, seed)
        rows.append((name, model.accuracy(texts), means.mean[0], means.low[0], means.high[0],
                     means.n[0]))  # fmt: skip
    return pd.DataFrame(rows, columns=["trained", "accuracy", "mass", "ci_low", "ci_high", "n"])


def _most_attended(train: Examples, instances: Sequence[Instance]) -> frozenset[str]:
    """The words with the highest mean attention among those that occur 10 times or more."""
    rows = [
        (word.lower(), weight)
        for example, own in zip(train.examples, instances, strict=True)
        for word, weight in zip(example.sentence.words, own.attention.tolist(), strict=True)
    ]
    table = pd.DataFrame(rows, columns=["word", "weight"]).groupby("word")["weight"]
    often = table.mean()[table.count() >= min(10, len(train) // 20 + 1)]
    return frozenset(often.nlargest(IMPERMISSIBLE).index)


def _provenance(train: Examples, evaluate: Examples, seed: int, **options: object) -> Provenance:
    return Provenance(
        model=f"{options['encoder']} classifier with {options['attention']} attention, trained "
        f"on {train.name}",
        revision=None,
        weights_sha256=None,
        tokenizer="words",
        data=evaluate.name,
        data_sha256=evaluate.sha256,
        seed=seed,
        unit=evaluate.unit,
        sentences=len(evaluate),
        documents=len(evaluate.documents),
        options={"train_sha256": train.sha256, "train_examples": len(train), **options},
    )
