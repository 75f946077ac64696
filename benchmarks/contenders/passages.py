"""The texts of a job: sentences of a corpus, or passages as long as the model can read."""

from collections.abc import Sequence

from serving import Settings

from bertology.corpora import Corpus, Encoding, Sentence, encode_all, read_corpus
from bertology.models import LoadedModel

#: Tokens of a passage where the model sets no limit.
TOKENS = 512


def texts(settings: Settings, model: LoadedModel) -> Corpus:
    """The corpus that the settings describe, sentences joined into passages where they ask so."""
    corpus = read_corpus(settings["corpus"]).first(settings["limit"])
    if settings["job"] == "sentences":
        return corpus
    return Corpus(corpus.name, tuple(_passages(corpus, model)), corpus.sha256)


def _passages(corpus: Corpus, model: LoadedModel) -> list[Sentence]:
    limit = min(model.max_tokens or TOKENS, TOKENS)
    encodings, _ = encode_all(corpus.sentences, model.tokenizer, limit)
    passages: list[Sentence] = []
    waiting: list[Encoding] = []
    room = limit
    for encoding in encodings:
        added = int(encoding.added.sum())
        own = len(encoding) - added
        if waiting and own > room:
            passages.append(_joined(waiting, len(passages)))
            waiting = []
        if not waiting:
            room = limit - added
        waiting.append(encoding)
        room -= own
    # What is left at the end is shorter than the others, unless it is all there is.
    return passages or [_joined(waiting, 0)]


def _joined(encodings: Sequence[Encoding], number: int) -> Sentence:
    """One text of several, with the words and the trees of all."""
    text = ""
    spans: list[tuple[int, int]] = []
    heads: list[int] = []
    deprels: list[str] = []
    for sentence in (encoding.sentence for encoding in encodings):
        start, words = len(text) + 1 if text else 0, len(spans)
        text = f"{text} {sentence.text}" if text else sentence.text
        spans += [(start + left, start + right) for left, right in sentence.spans]
        heads += [head + words if head >= 0 else head for head in sentence.heads]
        deprels += sentence.deprels
    return Sentence(
        id=f"passage-{number}",
        text=text,
        spans=tuple(spans),
        heads=tuple(heads),
        deprels=tuple(deprels),
    )
