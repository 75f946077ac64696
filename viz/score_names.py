"""The scores as figures name them: the field's terms, in the groups and order they are drawn in."""

from collections.abc import Iterable

#: Group: its scores, with their names.
GROUPS = {
    "attention": {
        "attention": "each head",
        "attention_best_head": "best head",
        "attention_last": "last layer, mean",
        "attention_mean": "all heads, mean",
        "attention_columns": "columns, mean",
        "rollout": "rollout",
        "attention_flow": "attention flow",
        "attention_norms": "norms",
        "attention_norms_residual": "norms, residual",
        "globenc": "GlobEnc",
        "alti": "ALTI",
        "decompx": "DecompX",
        "value_zeroing": "value zeroing",
        "attention_x_gradient": "attention × gradient",
        "relevancy": "relevancy",
    },
    "floors": {
        "other_sentence": "another sentence's",
        "position": "word position",
        "frequency": "word frequency",
        "random": "random",
    },
    "other importance methods": {
        "gradient_norm": "gradient norm",
        "input_x_gradient": "input × gradient",
        "integrated_gradients": "integrated gradients",
        "smoothgrad": "SmoothGrad",
        "gradient_shap": "GradientSHAP",
        "deeplift": "DeepLIFT",
        "lime": "LIME",
        "kernel_shap": "Kernel SHAP",
        "occlusion": "occlusion",
        "leave_one_out": "leave one out",
        "leave_one_token_out": "leave one token out",
        "attn_lrp": "AttnLRP",
        "cp_lrp": "CP-LRP",
    },
}
#: A name outside the headings of the groups must say what it is of.
_ALONE = {
    "attention": "attention of each head",
    "attention_best_head": "attention, best head",
    "attention_last": "attention, last layer",
    "attention_mean": "attention, all heads",
    "attention_columns": "attention, columns",
    "attention_norms": "attention norms",
    "attention_norms_residual": "norms, residual",
    "leave_one_out_reversed": "leave one out, reversed",
}
_NAMES = {score: name for scores in GROUPS.values() for score, name in scores.items()} | _ALONE


def score_name(score: str) -> str:
    """The name of a score; underscores become spaces in one that is not known."""
    return _NAMES.get(score, score.replace("_", " "))


def group_of(score: str) -> str:
    """The group of a score, `other scores` if it is in none."""
    return next((group for group, own in GROUPS.items() if score in own), "other scores")


def in_order(scores: Iterable[str]) -> list[str]:
    """Scores in the order of the groups; those in none come last, by name."""
    order = [score for own in GROUPS.values() for score in own]
    return sorted(scores, key=lambda s: (order.index(s) if s in order else len(order), s))
