"""Fields of a JSON object, checked; every error says in which line of which file."""

from typing import Any

from ..errors import CorpusError


def words_of(record: dict[str, Any], name: str, where: str) -> list[str]:
    """A list of words.

    Raises:
        CorpusError: it is something else.
    """
    words = record.get(name)
    if not isinstance(words, list) or not words or not all(map(_is_word, words)):
        raise CorpusError(f"{where}: {name!r} is {words!r}; give a list of words, without space.")
    return words


def text_of(record: dict[str, Any], name: str, where: str) -> str:
    """A text that is not empty.

    Raises:
        CorpusError: it is something else.
    """
    text = record.get(name)
    if not isinstance(text, str) or not text:
        raise CorpusError(f"{where}: {name!r} is {text!r}; a text was expected.")
    return text


def token_of(record: dict[str, Any], name: str, words: int, where: str) -> int:
    """The number of a token, from 0.

    Raises:
        CorpusError: it is something else, or there are not so many words.
    """
    number = record.get(name)
    if type(number) is not int or not 0 <= number < words:
        raise CorpusError(
            f"{where}: {name!r} is {number!r}; the number of a token, from 0 to {words - 1}, was "
            "expected."
        )
    return number


def objects_of(record: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """A list of objects.

    Raises:
        CorpusError: it is something else.
    """
    objects = record.get(name)
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise CorpusError(f"{where}: {name!r} is {objects!r:.60}; a list of objects was expected.")
    return objects


def _is_word(given: Any) -> bool:
    return isinstance(given, str) and given != "" and given == given.strip()
