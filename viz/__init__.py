"""Figures for papers, notebooks and reports.

Every figure function is `f(result, *, ax=None) -> Axes`: it draws, and neither shows nor saves.

    with style("paper", columns=1):
        save(head_atlas(summary), "figures/atlas")
"""

from ..errors import FigureError
from .agreement import agreement_distributions, agreement_matrix
from .atlas import head_atlas
from .attention import attention_grid, attention_lines, attention_map
from .calibration import calibration_map
from .comparison import comparison_map, representation_map
from .effects import effect_map, layer_effects, specificity_map
from .epsilon import epsilon_curves
from .erasure import erasure_curves
from .fonts import FontWarning
from .grids import relation_map, statistic_map
from .head_space import head_space
from .layers import layer_curves
from .points import agreement_points, preference_points, relation_points
from .probe_map import probe_map
from .probes import learning_curves, probe_lines
from .pruning import latency_ratios, pruning_bars, pruning_curves
from .relation_heads import relation_head_map
from .save import save
from .scatter import effect_against_importance, permutation_scatter
from .style import style
from .text_html import text_scores_html
from .text_scores import text_scores
from .trees import arcs

__all__ = [
    "FigureError",
    "FontWarning",
    "agreement_distributions",
    "agreement_matrix",
    "agreement_points",
    "arcs",
    "attention_grid",
    "attention_lines",
    "attention_map",
    "calibration_map",
    "comparison_map",
    "effect_against_importance",
    "effect_map",
    "epsilon_curves",
    "erasure_curves",
    "head_atlas",
    "head_space",
    "latency_ratios",
    "layer_curves",
    "layer_effects",
    "learning_curves",
    "permutation_scatter",
    "preference_points",
    "probe_lines",
    "probe_map",
    "pruning_bars",
    "pruning_curves",
    "relation_head_map",
    "relation_map",
    "relation_points",
    "representation_map",
    "save",
    "specificity_map",
    "statistic_map",
    "style",
    "text_scores",
    "text_scores_html",
]
