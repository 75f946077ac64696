"""Shards of a pass: merged by concatenation, resumed, checked, never taken for another's."""

import errno
import gc
import json
import os
import shutil
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.capture import Pass, Task, hidden_states, passes, run_pass
from bertology.capture.identity import sentences_sha256
from bertology.capture.passes import shards_of
from bertology.corpora import Corpus, Mention
from bertology.corpora.text import text_to_sentence
from bertology.errors import CaptureError, CorpusError, OutputError

CORPUS = Corpus(
    "test",
    tuple(text_to_sentence(" ".join(f"w{(i * 7 + k) % 52}" for k in range(1 + i % 9)), id=str(i))
          for i in range(40)),
    "",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SHARD_TOKENS", 50)
    monkeypatch.setattr(passes, "batch_tokens", lambda model: 30)


def measure(model, batch, log=None, fail=lambda texts: False):
    """Per sentence the mean and the word ids, and all its last hidden states."""
    if fail(len(batch)):
        raise torch.OutOfMemoryError("too large")
    with torch.no_grad(), hidden_states(model.module) as states:
        model.module(**batch.inputs)
    if log is not None:
        log.append(len(batch))
    return [
        {
            "mean": states[-1][i, :n].mean(0, keepdim=True),
            "states": states[-1][i, 1 : n - 1],
        }
        for i, n in enumerate(batch.lengths)
    ]


def run(model, folder: Path, corpus: Corpus = CORPUS, options=None, **arguments) -> Pass:
    task = Task("measure", partial(measure, **arguments), options or {})
    return run_pass(model, corpus, task, folder)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_are_whole_batches_in_the_order_of_the_plan() -> None:
    batches = [[0, 1], [2], [3, 4, 5], [6]]
    assert shards_of(batches, [30] * 7) == [[[0, 1]], [[2], [3, 4, 5]], [[6]]]
    assert shards_of([], []) == []


def test_what_is_gathered_is_in_the_order_of_the_corpus(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    done = run(model, tmp_path / "p")
    assert len(done.shards.members) > 3
    means = done.shards.gather("mean")
    counts = np.array([len(sentence) for sentence in done.sentences])
    states = dict(done.shards.split("states", counts))
    for i, sentence in enumerate(CORPUS.sentences):
        ids = model.tokenizer(sentence.text, return_tensors="pt")
        with torch.no_grad():
            alone = model.module(**ids).last_hidden_state[0]
        np.testing.assert_allclose(means[i], alone.mean(0), atol=1e-5)
        np.testing.assert_allclose(states[i], alone[1:-1], atol=1e-5)
    assert sorted(states) == list(range(40))


def test_a_stopped_pass_goes_on_where_it_was(tiny_model, tmp_path: Path) -> None:
    model, log = tiny_model("bert"), []
    run(model, tmp_path / "whole", log=log)
    whole, batches = files(tmp_path / "whole"), len(log)
    place = tmp_path / "stopped"

    def stop(texts: int) -> bool:
        if len(log) == batches // 2:
            raise KeyboardInterrupt
        return False

    log.clear()
    with pytest.raises(KeyboardInterrupt):
        run(model, place, log=log, fail=stop)
    assert 3 < len(files(place)) < len(whole)
    (place / "00009.safetensors.123.partial").write_bytes(b"what a kill leaves behind")
    run(model, place, log=log)
    assert files(place) == whole
    # Only the shard at hand was begun again.
    assert batches <= len(log) <= batches + 3
    log.clear()
    run(model, place, log=log)
    assert not log


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no record", "bad record", "gone"])
def test_a_damaged_shard_is_found_and_done_again(tiny_model, tmp_path: Path, damage: str) -> None:
    model = tiny_model("bert")
    done = run(model, tmp_path / "p")
    whole = files(tmp_path / "p")
    shard = tmp_path / "p" / "00002.safetensors"
    data = bytearray(shard.read_bytes())
    if damage == "truncated":
        shard.write_bytes(data[:-5])
    elif damage == "flipped":
        data[-7] ^= 1
        shard.write_bytes(data)
    elif damage == "no record":
        shard.with_suffix(".json").unlink()
    elif damage == "bad record":
        shard.with_suffix(".json").write_text('{"sha256": "0')
    else:
        shard.unlink()
    with pytest.raises(OutputError, match=r"00002\.safetensors is damaged.*repeat the pass"):
        for name in ("mean", "states"):
            list(done.shards.tensors(name))
    log: list[int] = []
    run(model, tmp_path / "p", log=log)
    assert files(tmp_path / "p") == whole
    assert sum(log) == len(done.shards.members[2])


def test_another_pass_is_refused(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    run(model, tmp_path / "p")
    before = files(tmp_path / "p")
    other = tiny_model("bert")
    with torch.no_grad():
        other.module.encoder.layer[0].output.dense.bias += 1
    fewer = Corpus("fewer", CORPUS.sentences[:-1], "")
    changed = Corpus(
        "changed", (text_to_sentence("w9", id="0"), *CORPUS.sentences[1:]), ""
    )  # of the same lengths
    pronoun = replace(CORPUS.sentences[0], mentions=(Mention("e", 0, 1, "pronoun"),))
    nominal = replace(pronoun, mentions=(Mention("e", 0, 1, "nominal"),))
    assert sentences_sha256([pronoun]) != sentences_sha256([nominal])
    for what, arguments in {
        r"model\.parameters_sha256 was": {"model": other},
        "plan_sha256 was": {"model": model, "corpus": fewer},
        r"data\.sentences_sha256 was": {"model": model, "corpus": changed},
        r"options\.k was None, now 1": {"model": model, "options": {"k": 1}},
    }.items():
        with pytest.raises(OutputError, match=f"belong to another pass.*{what}"):
            run(folder=tmp_path / "p", **arguments)
    assert files(tmp_path / "p") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="something else than shards"):
        run(model, tmp_path / "mine")
    (tmp_path / "p" / "pass.json").write_text("{")
    with pytest.raises(OutputError, match=r"pass\.json is damaged"):
        run(model, tmp_path / "p")


def test_text_that_does_not_fit(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    long = text_to_sentence("w1 " * 60, id="long")
    done = run(model, tmp_path / "p", Corpus("t", (long, *CORPUS.sentences), ""))
    assert done.skipped == [["long", "62 tokens, the model reads at most 40"]]
    assert [sentence.id for sentence in done.sentences] == [str(i) for i in range(40)]
    with pytest.raises(CorpusError, match="No sentence of t fits tiny bert: 62 tokens"):
        run(model, tmp_path / "none", Corpus("t", (long,), ""))
    assert not (tmp_path / "none").exists()


def test_a_full_disk_keeps_what_was_finished(
    tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, place = tiny_model("bert"), tmp_path / "p"
    run(model, tmp_path / "whole")
    real, synced = os.fsync, []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 6:  # the description, two shards with their records, one more
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"No space left on device.*--resume"):
            run(model, place)
    assert sorted(path.name for path in place.glob("*.json")) == [
        "00000.json", "00001.json", "pass.json",
    ]  # fmt: skip
    assert not list(place.glob("*.partial"))
    log: list[int] = []
    run(model, place, log=log)
    assert files(place) == files(tmp_path / "whole")
    assert sum(log) < 40


def test_a_disk_that_is_really_full(tiny_model, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system of a given size cannot be mounted here")
    try:
        with pytest.raises(OutputError, match="No space left on device"):
            run(tiny_model("bert"), disk / "p")
        finished = len(list((disk / "p").glob("0*.json")))
        shutil.copytree(disk / "p", tmp_path / "p")
    finally:
        gc.collect()  # tensors that are mapped from the disk
        subprocess.run(["umount", disk], check=True)
    run(tiny_model("bert"), tmp_path / "whole")
    log: list[int] = []
    run(tiny_model("bert"), tmp_path / "p", log=log)
    assert finished >= 1 and sum(log) < 40
    assert files(tmp_path / "p") == files(tmp_path / "whole")


def test_halved_batches_agree(tiny_model, tmp_path: Path) -> None:
    model, log = tiny_model("bert"), []
    whole = run(model, tmp_path / "whole", log=log)
    assert max(log) > 2
    log.clear()
    halved = run(model, tmp_path / "halved", log=log, fail=lambda texts: texts > 2)
    assert max(log) == 2
    np.testing.assert_allclose(halved.shards.gather("mean"), whole.shards.gather("mean"), atol=1e-5)


def test_a_resumed_pass_keeps_its_number_of_threads(
    tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, log = tiny_model("bert"), []
    monkeypatch.setattr(passes.torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", log.append)
    run(model, tmp_path / "p")
    assert json.loads((tmp_path / "p" / "pass.json").read_text())["threads"] == 3
    monkeypatch.setattr(passes.torch, "get_num_threads", lambda: 5)
    (tmp_path / "p" / "00000.json").unlink()
    run(model, tmp_path / "p")
    assert log == [3, 3, 3, 5]


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_workers_must_be_a_count(tiny_model, tmp_path: Path, workers) -> None:
    with pytest.raises(CaptureError, match="give a whole number from 1"):
        run_pass(tiny_model("bert"), CORPUS, Task("t", measure), tmp_path / "p", workers=workers)
    assert issubclass(CaptureError, BertologyError)
