"""A tokenizer with one token for every word of the planted texts."""

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from .carriers import vocabulary

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """One token for every word of the planted texts."""
    words = [*SPECIALS, *vocabulary()]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name[1:-1].lower()}_token": name for name in SPECIALS}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
