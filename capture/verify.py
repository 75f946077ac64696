"""Proof on attach: what is captured is what the model computes.

A list of supported names would be wrong with the next release of transformers; a small padded
batch shows whether rows sum to 1, attention times values equals the head output, some rows and
heads alone equal the whole, outputs stay unchanged, and an edit changes them.
"""

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import CaptureError
from .guards import guard
from .mode import trial_mode
from .session import Event, Hook, session
from .sites import Site, find_sites
from .ways.torch_attention import unfused
from .ways.trial import Trial, trial_of

CHECKS = (
    "rows sum to 1",
    "attention x values = head output",
    "rows and heads alone = the whole",
    "output unchanged",
    "edit acts",
)
# Many models take the softmax of double precision scores in single precision.
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@dataclass
class SiteReport:
    """The outcome of every check at one site; `failures` says what went wrong, if anything."""

    site: Site
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures


#: The sites of each model that has been proven.
_proven: WeakKeyDictionary[Any, tuple[Site, ...]] = WeakKeyDictionary()


def prove(module: Any) -> None:
    """Verify a model once; later calls return at once.

    Raises:
        CaptureError: a check fails; the message names the site and the check.
    """
    # What is no module, or compiled since, the session itself refuses.
    known = _proven.get(module) if isinstance(module, torch.nn.Module) else None
    if known is not None and known is find_sites(module):
        return
    failed = [report for report in verify(module) if not report.passed]
    if failed:
        details = "; ".join(f"{r.site}: {', '.join(r.failures)}" for r in failed[:3])
        raise CaptureError(
            f"The attention of {type(module).__name__} cannot be captured exactly: {details}. "
            "Its numbers would be wrong, so nothing is captured."
        )
    _proven[module] = find_sites(module)


def verify(module: Any) -> list[SiteReport]:
    """Run every check on a small padded batch; one report per site.

    Raises:
        CaptureError: attention cannot be reached at all.
    """
    guard(module)
    reports = {site: SiteReport(site) for site in find_sites(module)}
    trial = trial_of(module)
    # torch's fused layers put zeros where others compute with padding.
    with trial_mode(module), unfused(module):
        before = _outputs(module, trial)
        whole: dict[Site, Tensor] = {}
        during = _check_rows_and_values(module, trial, reports, whole)
        in_parts = _check_parts(module, trial, reports, whole)
        for after in (during, in_parts):
            change = (after - before).abs().max().item()
            if not change <= _tolerance(before) * max(1.0, before.abs().max().item()):
                for report in reports.values():
                    report.failures.append(f"{CHECKS[3]}: it changes by {change:.1e}")
        for site, report in reports.items():
            if torch.equal(_without(module, trial, site), during):
                report.failures.append(f"{CHECKS[4]}: zeroing every head changes nothing")
    return list(reports.values())


def _check_rows_and_values(
    module: Any, trial: Trial, reports: dict[Site, SiteReport], whole: dict[Site, Tensor]
) -> Tensor:
    def observe(event: Event) -> None:
        attention, report = event.attention, reports[event.site]
        if attention.dim() != 4:
            report.failures.append("no attention (batch, head, query, key) came out")
            return
        whole[event.site] = attention
        valid = _valid(trial, event)
        tolerance = _tolerance(attention)
        sums = attention.float().sum(-1).transpose(1, 2)[valid]
        # Where heads have a sink, a part of each row goes to no key.
        has_sink = getattr(module.get_submodule(event.site.module), "sinks", None) is not None
        excess = (sums - 1).clamp(min=0) if has_sink else (sums - 1).abs()
        # Reformer's own single precision leaves rows that see nothing but themselves further off.
        if not excess.max().item() <= max(tolerance, event.computation.rounding):
            report.failures.append(f"{CHECKS[0]}: off by {excess.max().item():.1e}")
        product = event.computation.weighed(attention)
        distance = (product - event.head_output).abs()[valid].max().item()
        if not distance <= tolerance * max(1.0, event.head_output[valid].abs().max().item()):
            report.failures.append(f"{CHECKS[1]}: off by {distance:.1e}")

    with session(module, Hook(observe=observe)):
        return _outputs(module, trial)


def _check_parts(
    module: Any, trial: Trial, reports: dict[Site, SiteReport], whole: dict[Site, Tensor]
) -> Tensor:
    """One row at a time, and the last head of the last row, against the whole map."""

    def compare(event: Event, heads: slice) -> None:
        rows = event.rows
        same = whole[event.site][:, heads, rows, event.keys]
        valid = _valid(trial, event)[:, rows]
        distance = (event.attention - same).abs().amax((1, 3))[valid].amax()
        if valid.any() and not distance.item() <= _tolerance(same):
            reports[event.site].failures.append(f"{CHECKS[2]}: off by {distance.item():.1e}")

    def in_blocks(event: Event) -> None:
        if event.site in whole:
            compare(event, slice(None))

    def alone(event: Event) -> None:
        if event.site in whole:
            compare(event, slice(0, 1))

    first = Hook(observe=alone, heads=[0], queries=[0])
    with session(module, Hook(observe=in_blocks, block=1), first):
        return _outputs(module, trial)


def _valid(trial: Trial, event: Event) -> Tensor:
    """(batch, query), True where a row is no padding, as far as that is known."""
    batch, _, queries, _ = event.computation.visible_shape
    rows = trial.rows
    if rows is not None and rows.shape == (batch, queries):
        return rows
    return torch.ones(batch, queries, dtype=torch.bool, device=event.attention.device)


def _without(module: Any, trial: Trial, site: Site) -> Tensor:
    # The same eager computation as before the edit, so that only the edit can change the output.
    zero = Hook(
        observe=lambda event: None,
        edit_output=lambda event: (
            torch.zeros_like(event.head_output) if event.site == site else event.head_output
        ),
    )
    with session(module, zero):
        return _outputs(module, trial)


def _outputs(module: Any, trial: Trial) -> Tensor:
    """The first output at real tokens: logits or the last hidden state."""
    output = trial.run(module)
    rows = trial.rows
    return output[rows] if rows is not None and output.shape[:2] == rows.shape else output


def _tolerance(tensor: Tensor) -> float:
    return _TOLERANCE.get(tensor.dtype, 1e-5)
