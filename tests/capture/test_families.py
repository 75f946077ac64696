"""In every family what is captured is what an independent oracle says, and edits act as said."""

from collections.abc import Iterator

import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, find_sites, gate_heads, hooked

from . import make_table, oracles
from .families import FAMILIES, REFUSED
from .family import INTERFACE, Family
from .laws import Subject, subject

EACH = pytest.mark.parametrize("name", FAMILIES)
#: Attention by other kernels, other order of summation.
CLOSE = 2e-6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products of matrices round in another way with each number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@EACH
def test_attention_is_what_the_oracle_says(name: str) -> None:
    found = subject(name)
    assert {site.way_in for site in found.sites} == set(FAMILIES[name].way.split(", "))
    assert found.attention <= CLOSE
    assert found.peak > 0.3  # far from evenly spread: the comparison means something


@EACH
def test_rows_sum_to_one_and_weigh_the_values(name: str) -> None:
    assert subject(name).rows <= CLOSE
    if (distance := subject(name).head_output) is not None:
        assert distance <= CLOSE


@EACH
def test_attention_is_the_softmax_of_query_and_key_where_there_are_any(name: str) -> None:
    distance = subject(name).query_and_key
    if distance is not None:
        # What is said of the exceptions is true.
        assert distance > 1e-4 if FAMILIES[name].scores else distance <= 1e-5
    # Code that calls the fast kernel of torch hands it query and key.
    calls_kernel = FAMILIES[name].way == INTERFACE or name == "falcon"
    assert (distance is None) == (not calls_kernel)


@EACH
def test_looking_changes_nothing(name: str) -> None:
    assert subject(name).untouched == 0
    assert subject(name).observed <= 1e-5
    assert subject(name).unchanged <= 1e-5


@EACH
def test_even_attention_changes_the_output_at_every_site(name: str) -> None:
    assert subject(name).evened > 1e-2


@EACH
def test_a_zeroed_head_is_its_slice_of_the_projection_zeroed(name: str) -> None:
    distance, effect = subject(name).zeroed
    assert effect > 1e-2
    if subject(name).has_projection():
        assert distance <= CLOSE
    assert (subject(name).contribution == "yes") == (not FAMILIES[name].beside)


@EACH
def test_a_batch_is_its_texts_one_by_one(name: str) -> None:
    distance = subject(name).singles
    # What is said of the exceptions is true: they are as far apart as can be.
    assert distance > 1e-2 if FAMILIES[name].batch_only else distance <= 1e-5


@EACH
def test_padding_on_the_left_is_padding_on_the_right(name: str) -> None:
    family = FAMILIES[name]
    if not family.right_only and not family.batch_only:
        assert subject(name).left <= 1e-5


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "t5", "falcon"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_either_kernel_gives_the_same_attention(name: str, kernel: str) -> None:
    found = Subject(FAMILIES[name], kernel)
    assert found.attention <= CLOSE
    assert found.untouched == 0
    assert found.observed <= (0 if kernel == "eager" else 1e-5)
    assert found.module.config._attn_implementation == kernel


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "qwen3", "bart", "deberta", "xlnet"])
@pytest.mark.parametrize(
    ("dtype", "sums", "same"),
    # Some models take the softmax in single precision whatever they compute in. In bfloat16
    # another order of summation moves the last of 8 bits, and the next layers enlarge that.
    [(torch.float64, 1e-6, 1e-6), (torch.bfloat16, 1e-2, 0.3)],
)
def test_other_precisions(name: str, dtype: torch.dtype, sums: float, same: float) -> None:
    found = Subject(FAMILIES[name], dtype=dtype)
    assert all(event.head_output.dtype == dtype for event in found.events.values())
    assert found.attention == 0
    assert found.rows <= sums
    assert found.head_output <= sums
    assert found.untouched == 0
    assert found.observed <= same


@pytest.mark.parametrize("name", REFUSED)
def test_models_without_attention_are_refused_by_name(name: str) -> None:
    config, options, message = REFUSED[name]
    with pytest.raises(BertologyError, match=message):
        find_sites(oracles.build(Family(config, options, "", "")))


def hybrid() -> torch.nn.Module:
    config = transformers.Qwen3NextConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_experts=2,
        num_experts_per_tok=1, moe_intermediate_size=16, shared_expert_intermediate_size=16,
        linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=8,
        linear_value_head_dim=8,
        layer_types=["linear_attention", "full_attention"] * 2,
    )  # fmt: skip
    return transformers.AutoModel.from_config(config).eval()


def test_layers_are_blocks_also_where_only_some_attend_by_softmax() -> None:
    module = hybrid()
    assert [site.layer for site in find_sites(module)] == [1, 3]
    with (
        pytest.raises(BertologyError, match=r"Layers \[2\] do not attend.*this model has \[1, 3\]"),
        hooked(module, Hook(layers=[1, 2])),
    ):
        pass
    gates = gate_heads(torch.zeros(2, 4))
    with (
        pytest.raises(BertologyError, match="2 layers was given; the model has 4"),
        hooked(module, gates),
    ):
        module(input_ids=torch.arange(8).view(2, 4))


def test_the_page_lists_what_the_tests_find() -> None:
    lines = make_table.PAGE.read_text(encoding="utf-8").splitlines()
    written = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    by_name = {cells[0]: cells[1:] for cells in written}
    for name, cells in make_table.rows().items():
        # Differences may round otherwise on another machine.
        assert [_words(cell) for cell in by_name[name]] == [_words(cell) for cell in cells], name
    refused = make_table.refusals()
    assert {name: by_name[name] for name in refused} == {n: [said] for n, said in refused.items()}
    assert set(by_name) == {"family", "model", *FAMILIES, *REFUSED}


def _words(cell: str) -> str:
    return "number" if cell[0].isdigit() else cell
