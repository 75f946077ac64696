"""Proof on attach: what is captured is what the model computes.

A list of supported names would be wrong with the next release of transformers; a small padded
batch shows whether rows sum to 1, attention times values equals the head output, outputs stay
unchanged, and an edit changes them.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor

from ..errors import CaptureError
from .mode import eval_mode
from .sites import Site, find_sites, trial_inputs

if TYPE_CHECKING:
    from .session import Event

CHECKS = ("rows sum to 1", "attention x values = head output", "output unchanged", "edit acts")
# Many models take the softmax of double precision scores in single precision.
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6, torch.float16: 5e-3, torch.bfloat16: 4e-2}


@dataclass
class SiteReport:
    """The outcome of every check at one site; `failures` says what went wrong, if anything."""

    site: Site
    way_in: str = "attention interface"
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures


_proven: WeakSet[Any] = WeakSet()


def prove(module: Any) -> None:
    """Verify a model once; later calls return at once.

    Raises:
        CaptureError: a check fails; the message names the site and the check.
    """
    if module in _proven:
        return
    failed = [report for report in verify(module) if not report.passed]
    if failed:
        details = "; ".join(f"{r.site}: {', '.join(r.failures)}" for r in failed[:3])
        raise CaptureError(
            f"The attention of {type(module).__name__} cannot be captured exactly: {details}. "
            "Its numbers would be wrong, so nothing is captured."
        )
    _proven.add(module)


def verify(module: Any) -> list[SiteReport]:
    """Run every check on a small padded batch; one report per site.

    Raises:
        CaptureError: attention cannot be reached at all.
    """
    reports = {site: SiteReport(site) for site in find_sites(module)}
    inputs = trial_inputs(module)
    valid = inputs["attention_mask"].bool()
    with torch.no_grad():
        before = _outputs(module, inputs, valid)
        during = _check_rows_and_values(module, inputs, valid, reports)
        scale = max(1.0, before.abs().max().item())
        change = (during - before).abs().max().item()
        if not change <= _tolerance(before) * scale:
            for report in reports.values():
                report.failures.append(f"{CHECKS[2]}: it changes by {change:.1e}")
        for site, report in reports.items():
            if torch.equal(_without(module, inputs, valid, site), during):
                report.failures.append(f"{CHECKS[3]}: zeroing every head changes nothing")
    return list(reports.values())


def _check_rows_and_values(
    module: Any, inputs: dict[str, Tensor], valid: Tensor, reports: dict[Site, SiteReport]
) -> Tensor:
    from .session import Hook, hooked, weigh

    def observe(event: "Event") -> None:
        attention, report = event.attention, reports[event.site]
        if attention is None or attention.dim() != 4:
            report.failures.append("no attention (batch, head, query, key) came out")
            return
        tolerance = _tolerance(attention)
        excess = (attention.float().sum(-1) - 1).abs().amax(1)[valid].max().item()
        if not excess <= tolerance:
            report.failures.append(f"{CHECKS[0]}: off by {excess:.1e}")
        distance = (weigh(attention, event.value) - event.head_output).abs()[valid].max().item()
        if not distance <= tolerance * max(1.0, event.head_output.abs().max().item()):
            report.failures.append(f"{CHECKS[1]}: off by {distance:.1e}")

    with hooked(module, Hook(observe=observe), proven=False):
        return _outputs(module, inputs, valid)


def _without(module: Any, inputs: dict[str, Tensor], valid: Tensor, site: Site) -> Tensor:
    from .session import Hook, hooked

    # The same eager computation as before the edit, so that only the edit can change the output.
    zero = Hook(
        observe=lambda event: None,
        edit_output=lambda event: (
            torch.zeros_like(event.head_output) if event.site == site else event.head_output
        ),
    )
    with hooked(module, zero, proven=False):
        return _outputs(module, inputs, valid)


def _outputs(module: Any, inputs: dict[str, Tensor], valid: Tensor) -> Tensor:
    """The first output at real tokens: logits or the last hidden state."""
    with eval_mode(module):
        output = module(**inputs)[0]
    return output[valid] if output.shape[:2] == valid.shape else output


def _tolerance(tensor: Tensor) -> float:
    return _TOLERANCE.get(tensor.dtype, 1e-5)
