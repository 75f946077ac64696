"""Models spread over devices; on one machine these are the CPU and the disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertology import BertologyError, load_model
from bertology.capture import capture
from bertology.models import devices, input_device

LAYERS = {f"encoder.layer.{k}": "cpu" for k in range(6)}
PARTS = {"embeddings": "cpu", **LAYERS, "pooler": "cpu"}
EVERYTHING = ("attention", "head_output", "hidden_states")
TEXT = "The old dog saw a cat in the garden ."


@pytest.mark.parametrize(
    "device_map",
    [{"": "cpu"}, "auto", {"embeddings": "cpu", "encoder": "cpu", "pooler": "cpu"},
     {**PARTS, "encoder.layer.2": "disk"}],
    ids=["whole", "auto", "parts", "disk"],
)  # fmt: skip
def test_a_spread_model_is_captured_like_a_whole_one(demo: Any, device_map: Any) -> None:
    model = load_model("demo", device_map=device_map)
    assert model.device == torch.device("cpu") and model.module.dtype == torch.float32
    assert model.weights_sha256 == demo.weights_sha256
    if "encoder.layer.2" in device_map:
        # Not a plain model under another name: accelerate fetches this part for each use.
        assert {p.device.type for p in model.module.parameters()} == {"cpu", "meta"}
    found, expected = capture(model, TEXT, EVERYTHING)[0], capture(demo, TEXT, EVERYTHING)[0]
    for name in EVERYTHING:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_inputs_go_where_the_embeddings_are_computed() -> None:
    model = load_model("demo", device_map={**PARTS, "embeddings": "disk"})
    table = model.module.get_input_embeddings()
    assert table.weight.device.type == "meta"
    assert model.device == torch.device("cpu")
    ids = torch.arange(1000, 1010).unsqueeze(0)
    with torch.no_grad():
        spread = model.module(ids)[0]
        assert torch.equal(spread, load_model("demo").module(ids)[0])


def test_parts_that_do_not_exist_are_named() -> None:
    with pytest.raises(BertologyError, match=r"'embedings'.*no such part.*embeddings, encoder"):
        load_model("demo", device_map={"embedings": "cpu", "encoder": "cpu"})


def test_without_accelerate_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(BertologyError, match="pip install accelerate"):
        load_model("demo", device_map="auto")


def test_modules_of_other_kinds_have_a_device(tmp_path: Path) -> None:
    assert input_device(torch.nn.Linear(2, 2)) == torch.device("cpu")
    assert input_device(torch.nn.Linear(2, 2, device="meta")) == torch.device("meta")
