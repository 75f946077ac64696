"""Goals for functions that have no attention for `prepare` to look into."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bertology.attribution import Goal, measure
from bertology.capture import collate
from bertology.corpora import Encoding, encode
from bertology.corpora.text import words_to_sentence
from bertology.models import LoadedModel


def encodings_and_goals(model: LoadedModel, *texts: str) -> tuple[list[Encoding], list[Goal]]:
    encodings = [
        encode(words_to_sentence(text.split(), id=text), model.tokenizer) for text in texts
    ]
    goals = []
    for encoding in encodings:
        goal = Goal("class", "only", 0.0, np.zeros(len(encoding)), encoding.words >= 0, index=0)
        value = measure(model, collate([encoding], model), [goal]).item()
        goals.append(replace(goal, value=value))
    return encodings, goals


@pytest.fixture(scope="session")
def given() -> Callable[..., tuple[list[Encoding], list[Goal]]]:
    return encodings_and_goals
