"""Shared fixtures: models small enough to build in a test, and the demo model."""

import os

# Before transformers is imported: no test may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import bertology
from bertology.models import LoadedModel

matplotlib.use("Agg")
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "!"] + [
    f"w{i}" for i in range(52)
]


@pytest.fixture(scope="session")
def demo() -> LoadedModel:
    return bertology.load_model("demo")


@pytest.fixture(scope="session")
def sample() -> bertology.corpora.Corpus:
    return bertology.sample_treebank()


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str], Path]:
    """Path of a file of real data beside the repository; skips the test where there is none."""

    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"needs the real data file {name}, which is not on this machine")
        return SHARED / name

    return find


def word_tokenizer(template: str = "[CLS] $A [SEP]") -> transformers.PreTrainedTokenizerFast:
    """One token per word of the vocabulary w0 … w51, with specials added by a template."""
    backend = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    specials = [(name, VOCABULARY.index(name)) for name in ("[CLS]", "[SEP]")]
    if template != "$A":
        backend.post_processor = processors.TemplateProcessing(
            single=template, pair=f"{template} $B:1 [SEP]:1", special_tokens=specials
        )
    names = {f"{key}_token": f"[{key.upper()}]" for key in ("pad", "unk", "cls", "sep", "mask")}
    if template == "$A":
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


_SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
          "intermediate_size": 48, "max_position_embeddings": 40}  # fmt: skip
_NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None}
FAMILIES: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "bert": lambda: transformers.BertConfig(**_SIZES),
    "roberta": lambda: transformers.RobertaConfig(pad_token_id=0, **_SIZES),
    "albert": lambda: transformers.AlbertConfig(embedding_size=16, **_SIZES),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=60, dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=40
    ),
    "electra": lambda: transformers.ElectraConfig(embedding_size=16, **_SIZES),
    "ernie": lambda: transformers.ErnieConfig(**_SIZES),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=60, n_embd=32, n_layer=3, n_head=4, n_positions=40, **_NO_SPECIALS
    ),
    "llama": lambda: transformers.LlamaConfig(num_key_value_heads=2, **_SIZES, **_NO_SPECIALS),
}


def tiny(family: str, task: str = "encoder") -> LoadedModel:
    """A random model of a family, its weights enlarged so that attention is far from even."""
    torch.manual_seed(0)
    from bertology.models import TASKS

    module = getattr(transformers, TASKS[task]).from_config(FAMILIES[family]())
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    module.config.pad_token_id = 0
    decoder = family in ("gpt2", "llama")
    tokenizer = word_tokenizer("$A" if decoder else "[CLS] $A [SEP]")
    return LoadedModel(f"tiny {family}", module.eval(), tokenizer, task)


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., LoadedModel]:
    return tiny


@pytest.fixture(scope="session")
def plain_words() -> SimpleNamespace:
    """Three texts of different length in the tiny vocabulary."""
    return SimpleNamespace(texts=["w1 w2 w3 . w4", "w5 w6", "w7 w8 w9 w10 w11 , w12 w13"])


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[..., transformers.PreTrainedTokenizerFast]:
    return word_tokenizer
