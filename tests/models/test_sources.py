"""Where models come from: hub ids, revisions, folders; pickles and remote code are refused."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from bertology import BertologyError, load_model
from bertology.corpora import sample_treebank
from bertology.models import provenance
from bertology.models.demo import file_sha256
from bertology.models.sources import find_source
from bertology.models.weights import weight_names

Save = Callable[..., Path]
Put = Callable[..., str]


def pickle_weights(folder: Path) -> Path:
    """Turn the weights of a checkpoint into a pickle that must never be opened."""
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def test_hub_ids_load_from_the_cache_and_record_the_commit(saved: Save, in_cache: Put) -> None:
    first, second = saved("bert"), saved("roberta", name="other")
    commit = in_cache(first, "someone/model")
    model = load_model("someone/model")
    assert model.name == "someone/model" and model.revision == commit == "a" * 40
    assert model.weights_sha256 == file_sha256(first / "model.safetensors")
    in_cache(second, "someone/model", revision="v2", digit="b")
    for revision in ("v2", "b" * 40):
        tagged = load_model("someone/model", revision=revision)
        assert tagged.revision == "b" * 40 and tagged.config.model_type == "roberta"
        assert tagged.weights_sha256 == file_sha256(second / "model.safetensors")
    record = provenance(tagged, sample_treebank().first(2), seed=0, skipped=[])
    assert (record.model, record.revision) == ("someone/model", "b" * 40)


def test_revisions_that_are_not_there(saved: Save, in_cache: Put) -> None:
    in_cache(saved("bert"), "someone/model")
    with pytest.raises(
        BertologyError, match=r"'someone/model'.*revision 'v9' in the cache.*HF_HUB_OFFLINE"
    ):
        load_model("someone/model", revision="v9")
    with pytest.raises(BertologyError, match=r"'someone/other'.*config.json.*in the cache"):
        load_model("someone/other")
    for name in ("demo", saved("gpt2", name="folder")):
        with pytest.raises(BertologyError, match=r"'v9' is given for .* only models from"):
            load_model(name, revision="v9")


def test_pickles_are_refused_before_anything_is_read(
    saved: Save, in_cache: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    folder = pickle_weights(saved("gpt2", "causal-lm"))
    monkeypatch.setattr(torch, "load", opened)
    advice = r"only as a pickle.*any code.*import AutoTokenizer, AutoModelForCausalLM; .*converted"
    with pytest.raises(BertologyError, match=advice) as refused:
        load_model(folder)
    assert "refs/pr" not in str(refused.value)
    in_cache(folder, "someone/pickled")
    with pytest.raises(BertologyError, match=f"'someone/pickled'.*{advice}.*revision='refs/pr/1'"):
        load_model("someone/pickled")


def test_transformers_is_told_to_read_no_pickle(
    saved: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In case a checkpoint changes between the check and the reading.
    asked: dict[str, Any] = {}
    real = transformers.AutoModel.from_pretrained

    def spy(*names: Any, **options: Any) -> Any:
        asked.update(options)
        return real(*names, **options)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", spy)
    load_model(saved("bert"))
    assert asked["use_safetensors"] is True


def test_the_advice_on_pickles_works(saved: Save, tmp_path: Path) -> None:
    folder = pickle_weights(saved("bert", "masked-lm"))
    with pytest.raises(BertologyError) as refused:
        load_model(folder)
    command = str(refused.value).partition("the new folder: ")[2].removesuffix(".")
    command = command.replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path, capture_output=True)
    assert load_model(tmp_path / "converted").task == "masked-lm"


def test_weights_in_parts(saved: Save) -> None:
    folder = saved("bert", max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    model = load_model(folder)
    other = load_model(saved("bert", name="whole"))
    for name, weight in model.module.state_dict().items():
        assert torch.equal(weight, other.module.state_dict()[name])
    assert model.weights_sha256 not in (None, other.weights_sha256)
    # A file that no part of the model is in changes nothing.
    (folder / "consolidated.safetensors").write_bytes(b"something else")
    assert load_model(folder).weights_sha256 == model.weights_sha256
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 2
    parts[1].unlink()
    with pytest.raises(BertologyError, match=rf"1 of them are missing \({parts[1].name}\)"):
        load_model(folder)


def test_no_weights_and_damaged_weights(saved: Save) -> None:
    folder = saved("bert")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BertologyError, match=r"cannot be loaded: .*[Hh]eader"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BertologyError, match=r"has no weights: neither model.safetensors nor"):
        load_model(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(BertologyError, match="weight_map"):
        load_model(folder)


def test_remote_code_runs_only_when_told_to(
    saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    folder = saved("bert")
    (folder / "own.py").write_text(
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own-model'\n"
        "class OwnModel(BertModel):\n    config_class = OwnConfig\n    own = True\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own-model"
    config["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        BertologyError, match=r"Python code of its own.*trust_remote_code=True.*--trust-remote"
    ):
        load_model(folder)
    assert load_model(folder, trust_remote_code=True).module.own


def test_folders_with_several_models_ask_which(tmp_path: Path, saved: Save) -> None:
    with pytest.raises(BertologyError, match=r"config.json is missing\.$"):
        load_model(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BertologyError, match=r"gguf_file: a.gguf, b.gguf"):
        load_model(tmp_path)
    with pytest.raises(BertologyError, match=r"has no file c.gguf; its .gguf files: a.gguf, b"):
        load_model(tmp_path, gguf_file="c.gguf")
    with pytest.raises(BertologyError, match=r"its .gguf files: none"):
        load_model(saved("bert"), gguf_file="c.gguf")


def test_the_single_file_comes_before_parts(saved: Save) -> None:
    folder = saved("bert", max_shard_size="20KB")
    shutil.copy(next(folder.glob("model-*.safetensors")), folder / "model.safetensors")
    assert weight_names(find_source(folder)) == ["model.safetensors"]
