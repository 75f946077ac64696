"""Jobs are computed in an order in which every source is read once."""

import numpy as np
import pytest

from bertology.probing.representations.sweep.jobs import Job, run_jobs
from bertology.probing.representations.sweep.pieces import Pieces
from bertology.probing.representations.sweep.sources import Source


@pytest.fixture
def read() -> list[str]:
    """What was read, in order."""
    return []


def jobs_of(make_states, read: list[str]) -> list[Job]:
    """Two readings with sources of one name, as text as it stands and shifted bigrams have."""
    states = make_states(0, 10, 1.0)

    def source(name: str, reading: int) -> Source:
        def states_of() -> tuple:
            read.append(f"{name} {reading}")
            return states, states

        return Source(name, 0, states_of)

    return [
        Job(f"{each.name}.{reading}.{layer}", each, layer, lambda *_: {"of": np.zeros(1)})
        for reading in range(2)
        for each in (source("random_layers", reading), source("model", reading))
        for layer in (1, 0)
    ]


def test_each_source_is_read_once_though_another_reading_has_its_name(make_states, read):
    jobs = jobs_of(make_states, read)
    found = run_jobs(jobs, Pieces())
    assert read == ["model 0", "model 1", "random_layers 0", "random_layers 1"]
    assert set(found) == {job.name for job in jobs}


def test_a_source_whose_pieces_are_finished_is_not_read(make_states, read, tmp_path):
    jobs, pieces = jobs_of(make_states, read), Pieces(tmp_path)
    for job in jobs:
        if job.source.name == "model":
            pieces.keep(job.name, {"of": np.ones(1)})
    found = run_jobs(jobs, pieces)
    assert read == ["random_layers 0", "random_layers 1"]
    assert found["model.0.0"]["of"] == 1 and found["random_layers.0.0"]["of"] == 0
