"""Heads of a teacher that its student kept, by their maps and by what breaks without them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...attribution.goals import Function
from ...corpora import Examples, corpus_of, examples_of
from ...models import LoadedModel, provenance, randomised
from ...probing.comparison.matching import Matching, match_heads, match_table
from ...probing.comparison.passes import Pair, compared, heads_of
from ...probing.comparison.reading import Reading, read_together
from ...results import Result
from ...stats import bootstrap_ratio, is_descriptive, max_t
from .effects import Likeness, effects_of_both, likeness

#: A head counts as kept if its maps are nearer to its match than the null's with an adjusted p
#: below this.
ALPHA = 0.05


@dataclass(frozen=True, repr=False)
class KeptHeads(Result):
    """Each head of the student with the head of the teacher that it is matched with.

    `table`: `teacher_layer,teacher_head` (none where the teacher has fewer heads),
    `student_layer,student_head`; `distance`, the Jensen–Shannon divergence of their maps (nats) on
    texts that did not choose the match, with its interval, over `n_maps` texts; `null` and its
    interval, the same with the null model in the teacher's place; `p_adjusted`, two-sided, max-T
    over the heads, that the distances are equal; `kept`, where the match is nearer and that is
    below .05; `same_match`, whether the other half of the texts chose the same head;
    `effect_correlation`, Pearson's over `n` texts of what the two models lose without the two
    heads, with `ci_low,ci_high`; `unmatched_correlation`, the mean with all other heads of the
    teacher; `correlation_difference` and its interval, `difference_low,difference_high`.

    `teacher`: `layer,head,kept,student_layer,student_head`, one row for each head of the teacher.
    `summary`: one row: `kept,student_heads,teacher_heads` and, over the heads of the student,
    the means `matched_correlation,unmatched_correlation,correlation_difference,ci_low,ci_high,n`,
    the interval being that of the difference.
    """

    teacher: pd.DataFrame
    summary: pd.DataFrame


def kept_heads(
    teacher: LoadedModel,
    student: LoadedModel,
    examples: Examples,
    *,
    null_model: LoadedModel | None = None,
    maps: str = "token",
    target: str | Function | None = None,
    foil: str | None = None,
    mode: str = "zero",
    seed: int = 0,
) -> KeptHeads:
    """Match the heads of a student with those of its teacher, and switch both off.

    Heads are matched one to one over all layers by the Hungarian method on the divergence of their
    maps; the null says how near a match comes that has nothing to do with the teacher. Whether two
    matched heads do the same for their models is seen on other grounds: what the target loses
    without them, text by text, beside heads that are not matched.

    Args:
        null_model: another pretraining seed of the teacher (default: the teacher with its blocks
            drawn at random).
        maps: `token` for models with one tokenizer, or `word`.
        target: what is measured on both models, see `bertology.attribution.prepare`; so `foil`.
        mode: what takes the place of a head, see `bertology.ablation.ablate`.

    Raises:
        ModelError: different tokenizers and maps between tokens, or a teacher that cannot be made
            random.
        CorpusError: too few texts fit.
        CaptureError: attention that cannot be reached.
        AttributionError: a target that does not suit both models.
    """
    null = null_model or randomised(teacher, keep_embeddings=True, seed=seed)
    reading = read_together([student, teacher, null], corpus_of(examples), maps)
    texts = examples_of(reading.corpus)
    effects = effects_of_both(
        student, teacher, texts, target=target, foil=foil, mode=mode, seed=seed
    )
    own = _matched(student, teacher, reading, seed)
    other = _matched(student, null, reading, seed)
    found = likeness(effects, own.even, seed)
    heads = heads_of(student), heads_of(teacher)
    table = _table(own, other, heads, found, seed)
    table["n"] = effects.student.shape[1]
    few = bool(is_descriptive(effects.student.shape[1], len(np.unique(effects.units))))
    table["descriptive"] |= few
    return KeptHeads(
        table=table,
        teacher=_of_teacher(table, heads[1]),
        summary=_summary(table, heads[1], found),
        provenance=provenance(
            teacher, examples, seed=seed, skipped=reading.skipped + effects.skipped,
            student=student.name, student_sha256=student.weights_sha256, null_model=null.name,
            maps=maps, foil=foil, mode=mode,
        ),
    )  # fmt: skip


def _matched(first: LoadedModel, second: LoadedModel, reading: Reading, seed: int) -> Matching:
    nothing = [np.empty(0, dtype=int)] * len(reading.units)
    with compared(Pair(first, second, reading, nothing, seed)) as shards:
        return match_heads(shards, reading.units)


def _table(
    own: Matching,
    null: Matching,
    heads: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
    found: Likeness,
    seed: int,
) -> pd.DataFrame:
    """The columns of `KeptHeads.table`, but for `n`."""
    matches = match_table(own, *heads, null, seed=seed)
    distance, low, high = bootstrap_ratio(null.jsd, null.counts, seed=seed)
    # Both have a match on the same texts, or none.
    gap = np.where((own.counts > 0) & (null.counts > 0), null.jsd - own.jsd, 0.0)
    nearer = gap.sum(0) > 0
    p = np.where(matches["descriptive"], np.nan, max_t(gap, seed=seed))
    return pd.DataFrame({
        "teacher_layer": matches["match_layer"], "teacher_head": matches["match_head"],
        "student_layer": matches["layer"], "student_head": matches["head"],
        "distance": matches["jsd"], "distance_low": matches["ci_low"],
        "distance_high": matches["ci_high"], "null": distance, "null_low": low, "null_high": high,
        "p_adjusted": p, "kept": nearer & (p < ALPHA), "same_match": matches["same_match"],
        "n_maps": matches["n"],
        "effect_correlation": found.matched[:, 0], "ci_low": found.matched[:, 1],
        "ci_high": found.matched[:, 2], "n": 0,
        "unmatched_correlation": found.unmatched[:, 0],
        "correlation_difference": found.difference[:, 0],
        "difference_low": found.difference[:, 1], "difference_high": found.difference[:, 2],
        "descriptive": matches["descriptive"],
    })  # fmt: skip


def _of_teacher(table: pd.DataFrame, heads: Sequence[tuple[int, int]]) -> pd.DataFrame:
    kept = table[table["kept"]]
    places = kept[["teacher_layer", "teacher_head", "student_layer", "student_head"]]
    by_head = {(layer, head): student for layer, head, *student in places.itertuples(index=False)}
    students = [by_head.get(one, [None, None]) for one in heads]
    return pd.DataFrame({
        "layer": [layer for layer, _ in heads],
        "head": [head for _, head in heads],
        "kept": [one in by_head for one in heads],
        "student_layer": pd.array([layer for layer, _ in students], dtype="Int64"),
        "student_head": pd.array([head for _, head in students], dtype="Int64"),
    })  # fmt: skip


def _summary(
    table: pd.DataFrame, teacher: Sequence[tuple[int, int]], found: Likeness
) -> pd.DataFrame:
    matched, unmatched, difference = found.means
    return pd.DataFrame([{
        "kept": int(table["kept"].sum()), "student_heads": len(table),
        "teacher_heads": len(teacher), "matched_correlation": matched[0],
        "unmatched_correlation": unmatched[0], "correlation_difference": difference[0],
        "ci_low": difference[1], "ci_high": difference[2], "n": int(table["n"].iloc[0]),
    }])  # fmt: skip
