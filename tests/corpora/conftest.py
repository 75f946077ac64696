"""Small tokenizers of every kind, built without any download."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(33, 127)] + list("日本語éß’…مرحبا")
OFFSETS = {
    "wordpiece": lambda: _fast(_wordpiece()),
    "bytes trimmed": lambda: _fast(_bytes(prefix=False, trim=True)),
    "bytes untrimmed": lambda: _fast(_bytes(prefix=False, trim=False)),
    "bytes prefixed": lambda: _fast(_bytes(prefix=True, trim=True)),
    "bytes prefixed untrimmed": lambda: _fast(_bytes(prefix=True, trim=False)),
    "unigram": lambda: _fast(_unigram("always")),
    "unigram unprefixed": lambda: _fast(_unigram("never")),
    "prepended": lambda: _fast(_prepended()),
    "characters": lambda: _fast(_characters(None)),
    "characters NFC": lambda: _fast(_characters(normalizers.NFC())),
    "characters NFKD": lambda: _fast(_characters(normalizers.NFKD())),
}


@pytest.fixture(scope="session")
def tokenizer_named(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """A tokenizer by its name, built once."""
    built: dict[str, Any] = {}
    folder = tmp_path_factory.mktemp("vocabularies")

    def find(name: str) -> Any:
        if name not in built:
            built[name] = OFFSETS[name]() if name in OFFSETS else _slow(name, folder)
        return built[name]

    return find


class ByteLevelLike(transformers.PreTrainedTokenizer):
    """A tokenizer in Python that keeps the space before a word as a mark on its first letter."""

    def __init__(self) -> None:
        super().__init__(unk_token="?", special_tokens_pattern="none")

    vocab_size = 2 * 0x110000

    def get_vocab(self) -> dict[str, int]:
        return {}

    def _tokenize(self, text: str) -> list[str]:
        pieces = re.findall(r" ?\S|\s", text)
        return [piece.replace(" ", "Ġ") for piece in pieces]

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token[-1]) + self.vocab_size // 2 * (len(token) - 1)

    def _convert_id_to_token(self, index: int) -> str:
        marked, code = divmod(index, self.vocab_size // 2)
        return "Ġ" * marked + chr(code)


def _fast(backend: Tokenizer) -> transformers.PreTrainedTokenizerFast:
    names = {f"{key}_token": f"[{key.upper()}]" for key in ("pad", "unk", "cls", "sep", "mask")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _with_specials(backend: Tokenizer, *further: Any) -> Tokenizer:
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    backend.post_processor = processors.Sequence([*further, template]) if further else template
    return backend


def _numbered(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(SPECIALS + tokens))}


def _wordpiece() -> Tokenizer:
    vocabulary = _numbered(LETTERS + ["##" + letter for letter in LETTERS] + ["do", "##n"])
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _with_specials(backend)


def _bytes(prefix: bool, trim: bool) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = _numbered([*alphabet, "do", "Ġa"])
    backend = Tokenizer(models.BPE(vocabulary, [("d", "o"), ("Ġ", "a")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return _with_specials(backend, processors.ByteLevel(trim_offsets=trim))


def _unigram(scheme: str) -> Tokenizer:
    pieces = [*SPECIALS, "▁", *LETTERS, "▁a", "▁do", "n't", "▁日"]
    scores = [(piece, -float(10 - len(piece))) for piece in dict.fromkeys(pieces)]
    backend = Tokenizer(models.Unigram(scores, unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return _with_specials(backend)


def _prepended() -> Tokenizer:
    """Bytes for unknown letters, and spaces made marks before anything else, as Llama 2 does."""
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = _numbered([*fallback, "▁", *LETTERS, "▁a", "do"])
    merges = [("▁", "a"), ("d", "o")]
    backend = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="[UNK]", byte_fallback=True, fuse_unk=True)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return _with_specials(backend)


def _characters(normalizer: Any) -> Tokenizer:
    backend = Tokenizer(models.WordLevel(_numbered([" ", *LETTERS]), unk_token="[UNK]"))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return _with_specials(backend)


def _slow(name: str, folder: Path) -> Any:
    if name == "canine":
        return transformers.CanineTokenizer()
    if name == "byt5":
        return transformers.ByT5Tokenizer()
    if name == "slow byte-level":
        return ByteLevelLike()
    if name == "ctrl":
        tokens = ["<unk>", *LETTERS, *(letter + "@@" for letter in LETTERS), "the", "do@@"]
        merges = "#version: 0.2\nt h\nth e</w>\nd o\n"
        return transformers.CTRLTokenizer(*_files(folder / "ctrl", tokens, merges))
    if name in ("xlm", "flaubert"):
        named = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{i}>" for i in range(10))]
        tokens = [*named, *LETTERS, *(letter + "</w>" for letter in LETTERS), "th", "the</w>"]
        kind = transformers.XLMTokenizer if name == "xlm" else transformers.FlaubertTokenizer
        return kind(*_files(folder / name, tokens, "t h 1\nth e</w> 1\n"))
    path = folder / "japanese.txt"
    path.write_text("\n".join([*SPECIALS, *LETTERS, *("##" + c for c in LETTERS)]), "utf-8")
    parts = {"japanese wordpiece": "wordpiece", "japanese characters": "character"}
    return transformers.BertJapaneseTokenizer(
        str(path), word_tokenizer_type="basic", subword_tokenizer_type=parts[name]
    )


def _files(folder: Path, tokens: list[str], merges: str) -> tuple[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "vocabulary.json").write_text(
        json.dumps({token: number for number, token in enumerate(tokens)}), "utf-8"
    )
    (folder / "merges.txt").write_text(merges, "utf-8")
    return str(folder / "vocabulary.json"), str(folder / "merges.txt")
