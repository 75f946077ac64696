"""What `bertology probe` does."""

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from ..capture import ActivationStore, write_store
from ..corpora import Corpus, read_corpus, read_senteval
from ..corpora.senteval import LINE
from ..errors import BertologyError
from ..models import LoadedModel
from ..probing.representations import ProbeOptions, Probes, Task, probe
from ..probing.representations.sweep.analysis import check_suited
from ..probing.representations.sweep.options import RANDOM_MODELS
from ..probing.representations.sweep.problems import chosen_tasks
from .commands import Common, finish
from .notes import plain_warnings
from .options import listed
from .run import skipped_texts

#: The file of each table of `Probes`.
FILES = {
    "table": "probes.csv",
    "tests": "probe_tests.csv",
    "best": "best_layers.csv",
    "mix": "mix.csv",
    "mdl": "mdl.csv",
    "information": "information.csv",
    "curves": "learning_curves.csv",
}
#: What `--controls` is called if there are to be no others than the control labels.
NONE = "none"


@dataclass(frozen=True)
class ProbeChoices:
    """The options of `bertology probe` alone."""

    task: str
    probe: str
    controls: str
    measures: str
    layers: str | None
    control_draws: int
    random_models: int
    seeds: int
    training_samples: int
    store: Path | None

    def check(self) -> None:
        """Refuse what does not exist or does not fit before anything is loaded.

        Raises:
            BertologyError: an option or a task that does not exist, or probes and tasks that do
                not go together.
        """
        check_suited(self.tasks(), self.options(0))

    def tasks(self) -> list[Task]:
        """The tasks asked for."""
        return chosen_tasks(listed(self.task))

    def options(self, seed: int) -> ProbeOptions:
        """How the sweep is made."""
        return ProbeOptions(
            probes=listed(self.probe),
            layers=None if self.layers is None else self._layers(self.layers),
            controls=() if self.controls == NONE else listed(self.controls),
            control_draws=self.control_draws,
            random_models=self.random_models,
            seeds=self.seeds,
            training_samples=self.training_samples,
            measures=listed(self.measures),
            seed=seed,
        )

    @staticmethod
    def _layers(layers: str) -> tuple[int, ...]:
        try:
            return tuple(sorted({int(layer) for layer in listed(layers)}))
        except ValueError as error:
            raise BertologyError(f"--layers is {layers!r}; write it like 0,3,6.") from error


def probe_command(common: Common, train_file: Path, eval_file: Path, choices: ProbeChoices) -> None:
    """`bertology probe`."""
    choices.check()
    train, evaluate = (part.first(common.limit) for part in _parts(train_file, eval_file))
    model = common.load()
    run = common.open(
        model,
        train=str(train_file), train_sha256=train.sha256,
        eval=str(eval_file), eval_sha256=evaluate.sha256,
        **{**asdict(choices), "store": None if choices.store is None else str(choices.store)},
    )  # fmt: skip

    def compute() -> Probes:
        train_store, eval_store = _stores(choices, model, train, evaluate)
        return probe(
            model, train, evaluate, tasks=choices.tasks(), train_store=train_store,
            eval_store=eval_store, folder=run.shards("probes"),
            **vars(choices.options(common.seed)),
        )  # fmt: skip

    with plain_warnings():
        if choices.random_models == 1 and set(choices.options(0).controls) & set(RANDOM_MODELS):
            warnings.warn(
                "one random model: its spread is unknown; --random-models 5 for a paper.",
                stacklevel=1,
            )
        probes = run.result("probes", Probes, compute)
    written = [
        run.table(file, getattr(probes, name))
        for name, file in FILES.items()
        if not getattr(probes, name).empty
    ]
    finish(run, written, skipped_texts(probes.provenance))


def _parts(train_file: Path, eval_file: Path) -> tuple[Corpus, Corpus]:
    """Both parts; of one SentEval file given twice, those that it calls `tr` and `va`."""
    if train_file == eval_file and train_file.is_file():
        with train_file.open(encoding="utf-8", errors="replace") as file:
            has_parts = LINE.match(file.readline()) is not None
        if has_parts:
            parts = read_senteval(train_file)
            if missing := {"tr", "va"} - set(parts):
                raise BertologyError(
                    f"{train_file} has no part {' and '.join(sorted(missing))}; give --train and "
                    "--eval different files."
                )
            return parts["tr"], parts["va"]
    return read_corpus(train_file), read_corpus(eval_file)


def _stores(
    choices: ProbeChoices, model: LoadedModel, train: Corpus, evaluate: Corpus
) -> tuple[ActivationStore | None, ActivationStore | None]:
    """The stores of both parts, written where they are not there yet.

    In float32, which is what the states of control models are read in.
    """
    if choices.store is None:
        return None, None
    layers = choices.options(0).layers
    return (
        write_store(choices.store / "train", model, train, layers=layers, dtype="float32"),
        write_store(choices.store / "eval", model, evaluate, layers=layers, dtype="float32"),
    )
