"""Pruned checkpoints: saved whole, loaded bit by bit, exported for people without bertology."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import bertology
from bertology.ablation.structural import prune
from bertology.errors import ModelError, OutputError
from bertology.models import LoadedModel, export_pruned, load_model, pruned_files, save_pruned

FAMILIES = [("bert", "classification"), ("roberta", "masked-lm"), ("electra", "encoder"),
            ("distilbert", "masked-lm"), ("gpt2", "causal-lm"), ("llama", "causal-lm")]  # fmt: skip
HEADS = [(0, 1), (1, 0), (1, 2)]


@pytest.fixture
def pruned(tiny_model: Callable[..., LoadedModel]) -> LoadedModel:
    return prune(tiny_model("bert", "classification"), HEADS, [2])


def same(one: LoadedModel, other: LoadedModel) -> bool:
    first, second = one.module.state_dict(), other.module.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_comes_back_bit_by_bit(tiny_model, tmp_path: Path, family, task):
    model = prune(tiny_model(family, task), HEADS, [2])
    saved = save_pruned(model, tmp_path / "small")
    found = load_model(tmp_path / "small")
    assert same(model, found) and not same(model, tiny_model(family, task))
    assert type(found.module) is type(model.module) and found.task == task
    assert found.weights_sha256 == saved.weights_sha256
    assert found.variant["pruned"] == "3 heads and 1 layers removed"
    ids = found.tokenizer("w1 w2 w3", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(found.module(ids)[0], model.module(ids)[0])
    # And once more, from what was loaded.
    save_pruned(found, tmp_path / "again")
    assert same(load_model(tmp_path / "again"), model)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_two_stacks_come_back(tiny_model, tmp_path: Path, family):
    import transformers

    small = {"vocab_size": 60, "d_model": 32, "pad_token_id": 0, "decoder_start_token_id": 0}
    torch.manual_seed(0)
    if family == "t5":
        config = transformers.T5Config(d_kv=8, d_ff=48, num_layers=2, num_decoder_layers=3,
                                       num_heads=4, **small)  # fmt: skip
    else:
        config = transformers.BartConfig(
            encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
            max_position_embeddings=40, bos_token_id=2, eos_token_id=2, **small,
        )  # fmt: skip
    module = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
    whole = LoadedModel(family, module, tiny_model("llama", "causal-lm").tokenizer, "seq2seq-lm")
    model = prune(
        whole,
        {("encoder", "self"): [(0, 1)], ("decoder", "cross"): [(1, 0), (2, 2)]},
        {"decoder": [0]},
    )
    export_pruned(model, tmp_path / "small")
    found = load_model(tmp_path / "small")
    assert same(model, found)
    inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "decoder_input_ids": torch.tensor([[5, 9]])}
    with torch.no_grad():
        assert torch.equal(found.module(**inputs)[0], model.module(**inputs)[0])
    if family == "t5":  # its encoder alone, which nothing of the decoder's plan concerns
        part = load_model(tmp_path / "small", task="encoder")
        assert part.module.encoder.block[0].layer[0].SelfAttention.q.weight.shape == (24, 32)


def test_body_and_head_can_be_loaded_apart(pruned, tmp_path: Path):
    save_pruned(pruned, tmp_path / "small")
    body = load_model(tmp_path / "small", task="encoder")
    own, whole = body.module.state_dict(), pruned.module.bert.state_dict()
    assert all(torch.equal(own[name], whole[name]) for name in whole)


def test_description_says_what_was_removed_and_of_what(tiny_model, pruned, tmp_path: Path):
    from bertology.models.demo import file_sha256

    whole = tiny_model("bert", "classification")
    save_pruned(pruned, tmp_path / "small")
    found = json.loads((tmp_path / "small" / "pruning.json").read_text())
    assert found["base_class"] == "BertForSequenceClassification"
    assert found["base"]["model"] == whole.name
    assert [(e["stack"], e["kind"], e["layer"], e["heads"]) for e in found["removed_heads"]] == [
        ("encoder", "self", 0, [1]), ("encoder", "self", 1, [0, 2])]  # fmt: skip
    assert found["removed_layers"] == [
        {"module": "encoder.layer", "stack": "encoder", "layers": [2]}
    ]
    assert found["original_config"]["num_hidden_layers"] == 3
    assert json.loads((tmp_path / "small" / "config.json").read_text())["num_hidden_layers"] == 2
    assert found["weights_sha256"] == file_sha256(tmp_path / "small" / "model.safetensors")
    assert "transformers" in found["versions"]


_WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "bertology":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import torch, transformers
from safetensors.torch import load_file, save_file
try:
    import bertology
    raise SystemExit("bertology is there")
except ModuleNotFoundError:
    pass
folder, loader, out = sys.argv[1:]
model = getattr(transformers, loader).from_pretrained(folder, trust_remote_code=True).eval()
ids = torch.arange(8, 16).view(2, 4)
with torch.no_grad():
    save_file({"out": model(ids)[0].contiguous()}, out)
model.save_pretrained(out + "-again")
transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(out + "-again")
"""


@pytest.mark.parametrize(
    ("family", "task", "loader"),
    [("bert", "classification", "AutoModelForSequenceClassification"),
     ("llama", "causal-lm", "AutoModelForCausalLM")],
)  # fmt: skip
def test_export_loads_without_bertology(tiny_model, tmp_path: Path, family, task, loader):
    from safetensors.torch import load_file

    model = prune(tiny_model(family, task), HEADS, [2])
    export_pruned(model, tmp_path / "small")
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, tmp_path / "small", loader, tmp_path / "out"],
        capture_output=True, text=True, env={"HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = model.module(torch.arange(8, 16).view(2, 4))[0]
    assert torch.equal(load_file(tmp_path / "out")["out"], expected)
    found = load_model(tmp_path / "small")  # without running that code
    assert same(found, model) and same(load_model(tmp_path / "out-again"), model)
    assert (tmp_path / "out-again" / "pruned_surgery.py").is_file()
    save_pruned(found, tmp_path / "plain")
    assert "auto_map" not in json.loads((tmp_path / "plain" / "config.json").read_text())


def test_transformers_alone_does_not_load_it_silently(pruned, tmp_path: Path):
    """The positive control of the export: the plain class refuses the shapes."""
    import transformers

    save_pruned(pruned, tmp_path / "small")
    with pytest.raises(RuntimeError):
        transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")


def test_interrupted_save_leaves_nothing(pruned, tmp_path: Path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pruned_files, "weights_hash", stop)  # after the weights are written
    with pytest.raises(KeyboardInterrupt):
        save_pruned(pruned, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    save_pruned(pruned, tmp_path / "small")
    before = (tmp_path / "small" / "pruning.json").read_bytes()
    monkeypatch.setattr(pruned_files, "weights_hash", stop)
    with pytest.raises(KeyboardInterrupt):
        save_pruned(pruned, tmp_path / "small", overwrite=True)
    assert (tmp_path / "small" / "pruning.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_full_disk_is_one_message(pruned, tmp_path: Path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pruned_files, "weights_hash", full)
    with pytest.raises(OutputError, match="No space left"):
        save_pruned(pruned, tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def test_only_pruned_checkpoints_are_replaced_and_only_if_told(tiny_model, pruned, tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="holds no pruned model"):
            save_pruned(pruned, tmp_path / "notes", overwrite=overwrite)
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"
    save_pruned(pruned, tmp_path / "small")
    other = prune(tiny_model("bert", "classification"), [(0, 0)])
    with pytest.raises(OutputError, match="overwrite=True"):
        save_pruned(other, tmp_path / "small")
    assert same(load_model(tmp_path / "small"), pruned)
    save_pruned(other, tmp_path / "small", overwrite=True)
    assert same(load_model(tmp_path / "small"), other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "small"]


def test_a_whole_model_is_no_pruned_one(tiny_model, tmp_path: Path):
    with pytest.raises(ModelError, match="Nothing was taken out"):
        save_pruned(tiny_model("bert"), tmp_path / "small")
    assert list(tmp_path.iterdir()) == []


def older(folder: Path, heads: dict[str, list[int]]) -> Path:
    """Make a pruned checkpoint look as transformers 4 wrote them."""
    config = json.loads((folder / "config.json").read_text())
    del config["bertology_pruning"]
    config["pruned_heads"] = heads
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_pruned_heads_of_older_tools_are_honoured(tiny_model, tmp_path: Path, family):
    task = "classification" if family == "bert" else "causal-lm"
    model = prune(tiny_model(family, task), HEADS)
    save_pruned(model, tmp_path / "small")
    found = load_model(older(tmp_path / "small", {"0": [1], "1": [0, 2]}))
    assert same(found, model)
    assert found.variant["pruned"] == "3 heads and 0 layers removed"
    save_pruned(found, tmp_path / "again")
    assert same(load_model(tmp_path / "again"), model)


def test_pruned_heads_that_do_not_fit_are_refused(tiny_model, tmp_path: Path):
    model = prune(tiny_model("bert", "classification"), HEADS)
    save_pruned(model, tmp_path / "small")
    with pytest.raises(ModelError, match=r"pruned by an older version of transformers.*prune it"):
        load_model(older(tmp_path / "small", {"0": [1]}))


def test_pruned_heads_of_two_stacks_are_refused(tiny_model, tmp_path: Path):
    import transformers

    config = transformers.T5Config(vocab_size=60, d_model=32, d_kv=8, d_ff=48, num_layers=2,
                                   num_heads=4, decoder_start_token_id=0)  # fmt: skip
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    tiny_model("llama", "causal-lm").tokenizer.save_pretrained(tmp_path / "t5")
    assert load_model(tmp_path / "t5").task == "seq2seq-lm"
    described = json.loads((tmp_path / "t5" / "config.json").read_text())
    described["pruned_heads"] = {"0": [1]}
    (tmp_path / "t5" / "config.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="several kinds of attention"):
        load_model(tmp_path / "t5")


def test_a_pruned_model_is_spread_and_typed_like_any_other(pruned, tmp_path: Path):
    save_pruned(pruned, tmp_path / "small")
    half = load_model(tmp_path / "small", dtype="bfloat16")
    assert half.module.dtype == torch.bfloat16 and half.variant["dtype"] == "bfloat16"
    wanted = pruned.module.bert.encoder.layer[0].attention.self.query.weight.bfloat16()
    assert torch.equal(half.module.bert.encoder.layer[0].attention.self.query.weight, wanted)


def test_fine_tuned_after_pruning(pruned, tmp_path: Path):
    from bertology.corpora import Example, Examples
    from bertology.corpora.text import text_to_sentence

    labels = pruned.labels
    examples = tuple(
        Example(text_to_sentence(f"w{i % 7} w{i % 11} w{i}", id=str(i)), label=labels[i % 2])
        for i in range(24)
    )
    data = Examples("toy", examples, "0" * 64)
    tuned = bertology.models.fine_tune(pruned, data, data, epochs=1, folder=tmp_path / "tuned")
    found = load_model(tmp_path / "tuned")
    assert same(found, tuned.model) and not same(found, pruned)
    assert found.variant["pruned"] == pruned.variant["pruned"]
    body = prune_body(tmp_path, pruned)
    headed = bertology.models.fine_tune(body, data, data, epochs=1)
    assert headed.model.task == "classification"
    assert [s.heads for s in bertology.capture.find_sites(headed.model.module)] == [3, 2]


def prune_body(tmp_path: Path, pruned: LoadedModel) -> LoadedModel:
    save_pruned(pruned, tmp_path / "small")
    return load_model(tmp_path / "small", task="encoder")
