"""A sweep that was stopped goes on, and what is damaged is computed again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from bertology.errors import OutputError
from bertology.probing.representations.sweep.options import ProbeOptions
from bertology.probing.representations.sweep.pieces import Pieces, open_pieces
from bertology.probing.representations.sweep.problems import pose
from bertology.probing.representations.sweep.readings import Reading
from bertology.probing.representations.sweep.run import sweep
from bertology.probing.representations.sweep.sources import Source
from bertology.probing.representations.tasks import TASKS

OPTIONS = ProbeOptions(training_samples=2, measures=("information",))


class Reader:
    """A source of states that counts how often it is read, and can be stopped."""

    def __init__(self, states):
        self.states, self.count, self.stopped = states, 0, False

    def __call__(self):
        if self.stopped:
            raise KeyboardInterrupt
        self.count += 1
        return self.states


@pytest.fixture
def world(make_states):
    """A reading of states of the model and of a random one, with the readers of both."""
    train, evaluate = make_states(0, 150, 10.0), make_states(1, 150, 10.0)
    readers = Reader((train, evaluate)), Reader((make_states(0, 150, 0), make_states(1, 150, 0)))
    names = "model", "random_layers"
    sources = tuple(Source(name, 0, read) for name, read in zip(names, readers, strict=True))
    problem = pose(TASKS["upos"], train, evaluate, control_draws=3, seed=0)
    return Reading(train, evaluate, (problem,), sources), *readers


def assert_same_tables(one, other):
    assert one.keys() == other.keys()
    for name, table in one.items():
        assert_frame_equal(other[name], table, check_exact=True)


def test_a_stopped_sweep_goes_on_to_the_tables_of_one_in_one_go(world, tmp_path: Path):
    reading, model, random = world
    whole = sweep([reading], OPTIONS, Pieces())
    assert (model.count, random.count) == (1, 1)
    random.stopped = True
    pieces = open_pieces(tmp_path / "run", {"task": "test"})
    with pytest.raises(KeyboardInterrupt):
        sweep([reading], OPTIONS, pieces)
    random.stopped = False
    resumed = sweep([reading], OPTIONS, open_pieces(tmp_path / "run", {"task": "test"}))
    assert_same_tables(whole, resumed)
    # The first source was finished, and is not read again; now both are.
    assert (model.count, random.count) == (2, 2)
    sweep([reading], OPTIONS, pieces)
    assert (model.count, random.count) == (2, 2)


@pytest.mark.parametrize("place", [0, -3])
def test_a_damaged_piece_alone_is_computed_again(world, tmp_path: Path, place: int):
    reading, *_ = world
    pieces = open_pieces(tmp_path / "run", {"task": "test"})
    whole = sweep([reading], OPTIONS, pieces)
    files = sorted((tmp_path / "run").glob("*.piece"))
    assert len(files) == 8  # two sources, two layers, the probe and the measure
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    damaged = bytearray(before[files[0]][0])
    damaged[place] ^= 1
    files[0].write_bytes(damaged)
    assert_same_tables(whole, sweep([reading], OPTIONS, pieces))
    for path, (content, written) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == written) == (path != files[0])


def test_a_cut_piece_is_no_piece(tmp_path: Path):
    pieces = Pieces(tmp_path)
    assert pieces.read("a") is None
    pieces.keep("a", {"x": np.arange(3), "text": np.array(["é", "b"])})
    found = pieces.read("a")
    assert found is not None
    assert found["x"].tolist() == [0, 1, 2] and found["text"].tolist() == ["é", "b"]
    path = tmp_path / "a.piece"
    for length in (0, 10, 32, 100):
        path.write_bytes(path.read_bytes()[:length])
        assert pieces.read("a") is None


def test_pieces_of_another_sweep_are_refused(tmp_path: Path):
    identity = {"task": "probes", "options": {"seed": 0}}
    open_pieces(tmp_path / "run", identity)
    with pytest.raises(OutputError, match=r"options.seed was 0, now 1"):
        open_pieces(tmp_path / "run", {"task": "probes", "options": {"seed": 1}})


def test_a_reading_is_known_by_its_text_and_its_labels(world):
    reading, *_ = world
    problem = reading.problems[0]
    labels = problem.train.labels.copy()
    labels[0] = "X"
    other = replace(problem, train=replace(problem.train, labels=labels))
    assert replace(reading, problems=(other,)).identity() != reading.identity()
    sentences = reading.train.sentences
    text = replace(sentences[0], text="v" + sentences[0].text[1:])
    train = replace(reading.train, sentences=(text, *sentences[1:]))
    assert replace(reading, train=train).identity() != reading.identity()
    assert replace(reading).identity() == reading.identity()
