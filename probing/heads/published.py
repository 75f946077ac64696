"""What Clark et al. 2019 report of BERT-base, to lay beside the results of a user.

Their corpus is the Penn Treebank in Stanford Dependencies, so numbers from other text are not
expected to be equal; which heads stand out, and by how much, can be compared.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import CorpusError
from ...models import LoadedModel
from .relations import DIRECTIONS

#: Vocabularies of BERT-base, uncased and cased.
_VOCABULARIES = (30522, 28996)


@dataclass(frozen=True)
class _Row:
    relation: str
    """Stanford label."""
    n: int | None = None
    place: tuple[int, int] | None = None
    """Layer and head, counted from 1 as in the paper."""
    paper: tuple[float, float] | None = None
    """Accuracy of the head and of the best offset, in percent."""
    offset: int | None = None
    notebook: tuple[float, float] | None = None
    """The same in the authors' notebook, where it differs or is the only source."""
    direction: str | None = None
    """Where it is given."""


# Table 1 of the paper; n, and the rows without numbers of the paper, from the authors' notebook.
_ROWS = (
    _Row("all", None, (7, 6), (34.5, 26.3), 1, (34.7, 26.7)),
    _Row("prep", 3760, (7, 4), (66.7, 61.8), -1),
    _Row("pobj", 3720, (9, 6), (76.3, 34.6), -2, direction=DIRECTIONS[1]),
    _Row("det", 3337, (8, 11), (94.3, 51.7), 1),
    _Row("nn", 3192, (4, 10), (70.4, 70.2), 1),
    _Row("nsubj", 2804, (8, 2), (58.5, 45.5), 1),
    _Row("amod", 2505, (4, 10), (75.6, 68.3), 1),
    _Row("dobj", 1591, (8, 10), (86.8, 40.0), -2),
    _Row("advmod", 1241, (7, 6), (48.8, 40.2), 1),
    _Row("aux", 1237, (4, 10), (81.1, 71.5), 1),
    _Row("poss", 708, (7, 6), (80.5, 47.7), 1),
    # The paper's baseline is the notebook's of `cop`, its accuracy the notebook's baseline: a slip.
    _Row("auxpass", 286, (4, 10), (82.5, 40.5), 1, (94.1, 82.5)),
    _Row("ccomp", 557, (8, 1), (48.8, 12.4), -2),
    _Row("mark", 420, (8, 2), (50.7, 14.5), 2),
    _Row("prt", 116, (6, 7), (99.1, 91.4), -1),
    _Row("num", place=(8, 11), notebook=(67.4, 56.4)),
    _Row("cc", place=(7, 5), notebook=(47.8, 41.2)),
    _Row("conj", place=(7, 1), notebook=(53.3, 26.8)),
    _Row("xcomp", place=(5, 7), notebook=(57.3, 47.1)),
    _Row("cop", place=(7, 6), notebook=(72.2, 40.5)),
    _Row("rcmod", notebook=(40.9, 26.6)),
    _Row("advcl", notebook=(29.5, 4.6)),
    _Row("nsubjpass", notebook=(57.5, 43.7)),
    _Row("neg", notebook=(72.5, 68.3)),
    _Row("possessive", notebook=(98.8, 98.8)),
    _Row("dep", notebook=(18.3, 15.9)),
)

#: Stanford relations with a UD relation of the same dependents and heads, with what UD counts
#: otherwise. Without one are: `prep` and `pobj` (UD attaches the noun, not the preposition), `cc`
#: (UD 2 attaches it to the conjunct after it), `neg` (a part of `advmod` in UD 2), `possessive` (a
#: part of `case`), `dep` (whatever a converter could not name), and `all`, which holds them all.
STANFORD_TO_UD = {
    "det": ("det", ""),
    "nn": ("compound", "names of several words are flat in UD, other compounds are added"),
    "nsubj": ("nsubj", ""),
    "amod": ("amod", ""),
    "dobj": ("obj", ""),
    "advmod": ("advmod", "with negations in UD"),
    "aux": ("aux", "without the infinitive's `to` in UD"),
    "poss": ("nmod:poss", ""),
    "auxpass": ("aux:pass", ""),
    "ccomp": ("ccomp", ""),
    "mark": ("mark", "with the infinitive's `to` in UD"),
    "prt": ("compound:prt", ""),
    "num": ("nummod", ""),
    "conj": ("conj", ""),
    "xcomp": ("xcomp", "with predicative complements in UD"),
    "cop": ("cop", ""),
    "rcmod": ("acl:relcl", ""),
    "advcl": ("advcl", ""),
    "nsubjpass": ("nsubj:pass", ""),
}


def published_relations() -> pd.DataFrame:
    """The best head of each relation as Clark et al. 2019 report it (section 4.2, table 1).

    Returns:
        `relation` (Stanford label), `ud` (the UD label that corresponds, else empty) and
        `ud_differs` (what it counts otherwise), `direction` (empty where it is not given), `n`,
        `layer` and `head` from 0, `head_from_1` (as printed: `8-11`), `accuracy`,
        `baseline_offset`, `baseline_accuracy`, and the last two as `notebook_accuracy` and
        `notebook_baseline`, from the authors' notebook. Accuracies are fractions; what is not
        reported is missing.
    """
    return pd.DataFrame([_as_dict(row) for row in _ROWS]).astype(
        dict.fromkeys(("n", "layer", "head", "baseline_offset"), "Int64")
    )


def _as_dict(row: _Row) -> dict[str, object]:
    ud, differs = STANFORD_TO_UD.get(row.relation, ("", ""))
    nothing = np.nan, np.nan
    accuracy, baseline = row.paper or nothing
    # Where only the paper is given here, the notebook has the same numbers.
    notebook_accuracy, notebook_baseline = row.notebook or row.paper or nothing
    return {
        "relation": row.relation,
        "ud": ud,
        "ud_differs": differs,
        "direction": row.direction or "",
        "n": row.n,
        "layer": row.place and row.place[0] - 1,
        "head": row.place and row.place[1] - 1,
        "head_from_1": f"{row.place[0]}-{row.place[1]}" if row.place else "",
        "accuracy": accuracy / 100,
        "baseline_offset": row.offset,
        "baseline_accuracy": baseline / 100,
        "notebook_accuracy": notebook_accuracy / 100,
        "notebook_baseline": notebook_baseline / 100,
    }


def beside_published(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of `best_heads.csv` or `relations.csv` with what Clark et al. 2019 report.

    Args:
        results: a table with `relation` (UD labels with subtypes), `layer` and `head`.

    Returns:
        The rows whose relation has a published counterpart (`STANFORD_TO_UD`), in their order,
        with the columns of `published_relations` as `published_…`, and `same_as_published`:
        whether the row is of the head that was published.

    Raises:
        CorpusError: the table lacks a column.
    """
    if lacking := {"relation", "layer", "head"} - set(results.columns):
        raise CorpusError(
            f"The table lacks the columns {sorted(lacking)}; give the relations or best heads of "
            "analyse_heads."
        )
    known = published_relations().add_prefix("published_")
    known = known[known["published_ud"] != ""].rename(columns={"published_ud": "relation"})
    joined = results.merge(known, on="relation", how="inner")
    same = (joined["layer"] == joined["published_layer"]) & (
        joined["head"] == joined["published_head"]
    )
    return joined.assign(same_as_published=same.fillna(False).astype(bool))


def is_bert_base(model: LoadedModel) -> bool:
    """Whether a model has the shape and vocabulary of BERT-base, cased or uncased."""
    config = getattr(model.module, "config", None)
    shape = "num_hidden_layers", "num_attention_heads", "hidden_size"
    return (
        getattr(config, "model_type", None) == "bert"
        and [getattr(config, name, None) for name in shape] == [12, 12, 768]
        and getattr(config, "vocab_size", None) in _VOCABULARIES
    )
