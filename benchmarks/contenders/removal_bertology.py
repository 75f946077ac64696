"""bertology's sweep over the given batches: restarted passes, several heads in each."""

import numpy as np
from removal import Inputs, read_inputs, run
from serving import Job, Settings, serve

from bertology.ablation.packed import StandIn, Sweep
from bertology.ablation.parts import every_head, heads_of
from bertology.ablation.switches import Switches
from bertology.capture import Batch
from bertology.capture.shortcut import find_restarts
from bertology.models import load_model


def load(settings: Settings) -> Job:
    model = load_model(
        settings["model"], task="classification", dtype="float32", device=settings["device"]
    )
    batches = read_inputs(settings)
    parts = every_head(model.module)
    grid = len(heads_of(model.module)), heads_of(model.module)[0]
    switches = Switches(model.module, parts)
    sweep = Sweep(model, parts, switches, find_restarts(model.module))

    def swept(inputs: Inputs) -> np.ndarray:
        # Of the encodings only the number is used.
        batch = Batch([None] * len(inputs["input_ids"]), inputs)  # type: ignore[list-item]
        _, found = sweep.run(
            batch, lambda outputs, *_: outputs.logits.float().cpu().numpy(), [StandIn("zero")]
        )
        return found[0].reshape(*grid, *found.shape[2:])

    def job() -> object:
        with switches.attached():
            return run(batches, swept)

    return job  # type: ignore[return-value]


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "bertology"))
