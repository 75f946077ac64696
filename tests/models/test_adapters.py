"""Adapters: merged into the weights, they compute what they compute beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from bertology import BertologyError, load_model
from bertology.capture import capture
from bertology.corpora import sample_treebank
from bertology.models import LoadedModel, adapters, provenance
from bertology.models.demo import file_sha256

Save = Callable[..., Path]
IDS = torch.arange(8, 20).unsqueeze(0)
TARGETS = {"bert": ["query", "value"], "gpt2": ["c_attn"]}


def trained(base: Path, folder: Path, family: str, loader: str = "AutoModel", **options: Any):
    """A random LoRA on a base model, saved; returns what it computes beside the weights."""
    torch.manual_seed(1)
    heads = {"num_labels": options.pop("labels")} if "labels" in options else {}
    module = getattr(transformers, loader).from_pretrained(base, **heads)
    config = peft.LoraConfig(
        r=4, target_modules=TARGETS[family], init_lora_weights=False,
        fan_in_fan_out=family == "gpt2", **options,
    )  # fmt: skip
    beside = peft.get_peft_model(module, config).eval()
    beside.save_pretrained(folder)
    return output(beside)


def output(module: Any) -> torch.Tensor:
    with torch.no_grad():
        return module(IDS)[0]


@pytest.mark.parametrize(
    ("family", "task", "loader"),
    [("bert", "encoder", "AutoModel"), ("gpt2", "causal-lm", "AutoModelForCausalLM")],
)
def test_merged_equals_beside(
    saved: Save, tmp_path: Path, family: str, task: str, loader: str
) -> None:
    base = saved(family, task)
    beside = trained(base, tmp_path / "adapter", family, loader)
    plain, model = load_model(base), load_model(base, adapter=tmp_path / "adapter")
    torch.testing.assert_close(output(model.module), beside, atol=1e-5, rtol=1e-5)
    assert (output(plain.module) - beside).abs().max() > 0.1
    assert type(model.module) is type(plain.module)
    assert capture(model, "w1 w2 w3", ["head_output"])[0].head_output is not None
    options = provenance(model, sample_treebank().first(1), seed=0, skipped=[]).options
    assert options == {
        "adapter": str(tmp_path / "adapter"),
        "adapter_sha256": file_sha256(tmp_path / "adapter" / "adapter_model.safetensors"),
    }
    assert model.weights_sha256 == plain.weights_sha256 and plain.variant == {}


def test_an_adapter_alone_loads_its_model(
    saved: Save, tmp_path: Path, in_cache: Callable[..., str]
) -> None:
    base = saved("bert", "masked-lm")
    beside = trained(base, tmp_path / "adapter", "bert", "AutoModelForMaskedLM")

    def check(model: LoadedModel, name: str) -> None:
        torch.testing.assert_close(output(model.module), beside, atol=1e-5, rtol=1e-5)
        assert model.name == str(base) and model.adapter == name and model.task == "masked-lm"

    check(load_model(tmp_path / "adapter"), str(tmp_path / "adapter"))
    in_cache(tmp_path / "adapter", "someone/adapter")
    check(load_model("someone/adapter"), "someone/adapter")
    check(load_model(base, adapter="someone/adapter"), "someone/adapter")
    with pytest.raises(BertologyError, match="is an adapter itself, and adapter='demo' is another"):
        load_model("someone/adapter", adapter="demo")


def test_a_classifier_in_an_adapter(saved: Save, tmp_path: Path) -> None:
    base = saved("bert")
    beside = trained(
        base, tmp_path / "adapter", "bert", "AutoModelForSequenceClassification",
        task_type="SEQ_CLS", labels=3,
    )  # fmt: skip
    model = load_model(base, adapter=tmp_path / "adapter")
    assert model.task == "classification" and len(model.labels) == 3
    torch.testing.assert_close(output(model.module), beside, atol=1e-5, rtol=1e-5)
    with pytest.raises(BertologyError, match=r"no weights for 2 parameters .*classifier"):
        load_model(base, task="classification")


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_base_models_that_are_not_there(saved: Save, tmp_path: Path) -> None:
    trained(saved("bert"), tmp_path / "adapter", "bert")
    config = tmp_path / "adapter" / "adapter_config.json"
    change(config, base_model_name_or_path="./gone")
    with pytest.raises(BertologyError, match=r"'./gone', which cannot be found; give the model"):
        load_model(tmp_path / "adapter")
    change(config, base_model_name_or_path=None)
    with pytest.raises(BertologyError, match=r"does not say what model.*load_model\(MODEL, ada"):
        load_model(tmp_path / "adapter")
    assert load_model(tmp_path / "checkpoint", adapter=tmp_path / "adapter").adapter


def test_adapters_that_do_not_fit(saved: Save, tmp_path: Path) -> None:
    base, other = saved("bert"), saved("gpt2", name="other")
    trained(base, tmp_path / "adapter", "bert")
    with pytest.raises(BertologyError, match=r"does not fit this GPT2Model: .*made for '.*checkp"):
        load_model(other, adapter=tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: weights[name] for name in sorted(weights)[2:]}, file)
    with pytest.raises(BertologyError, match=r"not fit this BertModel: .*missing adapter keys"):
        load_model(base, adapter=tmp_path / "adapter")
    prompt = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=2)
    peft.get_peft_model(load_model(base).module, prompt).save_pretrained(tmp_path / "prompt")
    with pytest.raises(BertologyError, match="of a kind that cannot be merged"):
        load_model(base, adapter=tmp_path / "prompt")


def test_what_is_no_adapter(saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = saved("bert")
    with pytest.raises(BertologyError, match=r"is no adapter: adapter_config.json is missing"):
        load_model(base, adapter=base)
    trained(base, tmp_path / "adapter", "bert")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    kept = weights.rename(tmp_path / "kept")
    with pytest.raises(BertologyError, match=r"no adapter_model.safetensors; pickled"):
        load_model(base, adapter=tmp_path / "adapter")
    kept.rename(weights)
    (base / "adapter_config.json").write_bytes(
        (tmp_path / "adapter" / "adapter_config.json").read_bytes()
    )
    with pytest.raises(BertologyError, match="holds both a model and an adapter"):
        load_model(base)
    (base / "adapter_config.json").unlink()
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(BertologyError, match=r"pip install 'bertology\[peft\]'"):
        load_model(base, adapter=tmp_path / "adapter")
