"""Models that no library of today has, and modules as a user writes them, by declaration."""

from pathlib import Path

import pytest
import torch
from compressive_transformer_pytorch import CompressiveTransformer
from pytorch_transformers import TransfoXLConfig, TransfoXLModel
from torch import Tensor, nn

from bertology import BertologyError
from bertology.capture import (
    Event,
    Hook,
    declare,
    find_sites,
    gate_heads,
    hooked,
    record,
    uniform_attention,
    verify,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your_own_module.md"
IDS = torch.arange(10).view(2, 5) * 3 % 60


def enlarged(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.35)
    return module.eval()


def observed(module: nn.Module, *inputs, hooks: tuple[Hook, ...] = (), **named):
    """The events of one pass, and what it returned."""
    kept: list[Event] = []
    with torch.no_grad(), hooked(module, *hooks, Hook(observe=kept.append)):
        return kept, module(*inputs, **named)


def transfo_xl() -> nn.Module:
    config = TransfoXLConfig(
        vocab_size_or_config_json_file=60, cutoffs=[20, 40], d_model=32, d_embed=32, n_head=4,
        d_head=8, d_inner=48, n_layer=3, mem_len=6, tgt_len=5, ext_len=0, clamp_len=20, div_val=1,
    )  # fmt: skip
    config.output_attentions = True
    module = enlarged(TransfoXLModel(config))
    declare(module, "RelPartialLearnableMultiHeadAttn", example=(IDS,), memory={"memory": 6})
    return module


@pytest.fixture(scope="module")
def xl() -> nn.Module:
    return transfo_xl()


@pytest.fixture(scope="module")
def memory(xl: nn.Module) -> list[Tensor]:
    """What the model remembers of a segment before."""
    with torch.no_grad():
        return xl(IDS + 1)[1]


def test_transformer_xl_attends_to_its_memory(xl, memory) -> None:
    assert all(report.passed for report in verify(xl))
    events, output = observed(xl, IDS, mems=memory)
    with torch.no_grad():
        plain = xl(IDS, mems=memory)
    assert torch.equal(output[0], plain[0])
    assert [event.site.layer for event in events] == [0, 1, 2]
    for event, own in zip(events, plain[-1], strict=True):
        assert event.attention.shape == (2, 4, 5, 11)  # keys: 6 remembered, 5 of the text
        assert torch.equal(event.attention, own)
        assert own[..., :6].sum(-1).max() > 0.5  # the memory is looked at
        product = torch.einsum("bhqk,bhkd->bqhd", event.attention, event.value)
        assert torch.allclose(product, event.head_output, atol=1e-5)
        labels = event.site.key_labels(5, 11)
        assert labels[:6] == tuple(f"memory {place}" for place in range(-6, 0))
        assert labels[6:] == tuple(f"token {place}" for place in range(5))


def test_a_record_says_which_keys_are_memory(xl, memory) -> None:
    found = record(xl, IDS, mems=memory).records
    assert [one.attention.shape for one in found] == [(2, 4, 5, 11)] * 3
    assert found[0].keys[4:8] == ("memory -2", "memory -1", "token 0", "token 1")


def test_a_gate_is_the_head_mask_that_transformer_xl_still_has(xl, memory) -> None:
    gates = torch.ones(3, 4)
    gates[0, 1] = gates[2, 3] = 0
    _, gated = observed(xl, IDS, mems=memory, hooks=(gate_heads(gates),))
    with torch.no_grad():
        masked = xl(IDS, mems=memory, head_mask=gates)
        plain = xl(IDS, mems=memory)
    assert torch.allclose(gated[0], masked[0], atol=1e-6)
    assert not torch.allclose(gated[0], plain[0], atol=1e-2)


def test_even_attention_of_transformer_xl_covers_memory_and_past(xl, memory) -> None:
    even = uniform_attention(torch.ones(3, 4, dtype=torch.bool))
    events, _ = observed(xl, IDS, mems=memory, hooks=(even,))
    # It lets every token see equally many keys: the second 4 remembered, the first and itself.
    expected = torch.tensor([0.0] * 2 + [1 / 6] * 6 + [0.0] * 3)
    assert torch.allclose(events[0].attention[:, :, 1], expected.expand(2, 4, -1))


def test_the_compressive_transformer_attends_to_both_memories() -> None:
    module = enlarged(
        CompressiveTransformer(
            num_tokens=60, dim=32, emb_dim=32, depth=2, seq_len=5, mem_len=5, cmem_len=2,
            cmem_ratio=4, heads=4,
        )
    )  # fmt: skip
    kinds = {"compressed memory": 2, "memory": 5}
    declare(module, "SelfAttention", example=(IDS,), memory=kinds)
    assert all(report.passed for report in verify(module))
    state, counts = None, []
    for segment in range(4):
        with torch.no_grad():
            plain = module(IDS + segment, memories=state)[0]
        events, (output, state, _) = observed(module, IDS + segment, memories=state)
        assert torch.equal(output, plain)
        for event in events:
            product = torch.einsum("bhqk,bhkd->bqhd", event.attention, event.value)
            assert torch.allclose(product, event.head_output, atol=1e-5)
            assert torch.allclose(event.attention.sum(-1), torch.ones(2, 4, 5), atol=1e-5)
        labels = events[0].site.key_labels(*events[0].attention.shape[-2:])
        counts.append([sum(x.startswith(name) for x in labels) for name in (*kinds, "token")])
    # A full memory is pressed together, four positions into one.
    assert counts == [[0, 0, 5], [0, 5, 5], [1, 5, 5], [2, 5, 5]]
    assert labels[:3] == ("compressed memory -2", "compressed memory -1", "memory -5")


class Additive(nn.Module):
    """Additive attention; `how` is the way the weighted sum is written."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.how = how

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.hidden(states))).squeeze(-1)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        if self.how == "bmm":
            return torch.bmm(weights.unsqueeze(1), states).squeeze(1)
        if self.how == "einsum":
            return torch.einsum("bk,bkd->bd", weights, states)
        if self.how == "sum":
            return (weights.unsqueeze(-1) * states).sum(1)
        return (states.mT @ weights.unsqueeze(-1)).squeeze(-1)


class Dot(nn.Module):
    """Dot attention of the last state to all."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        last = states[torch.arange(len(states)), mask.sum(1) - 1]
        scores = torch.einsum("bd,bkd->bk", self.query(last), states)
        weights = torch.softmax(scores.masked_fill(~mask, -1e9), dim=1)
        return torch.einsum("bk,bkd->bd", weights, states)


class Classifier(nn.Module):
    def __init__(self, attention: type[nn.Module], how: str = "") -> None:
        super().__init__()
        self.words = nn.Embedding(60, 16)
        self.lstm = nn.LSTM(16, 16, bidirectional=True, batch_first=True)
        self.attention = attention(32, how)
        self.classes = nn.Linear(32, 2)

    def states(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.words(ids), lengths, batch_first=True, enforce_sorted=False
        )
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        return self.classes(self.attention(self.states(ids, lengths), mask))


WORDS, LENGTHS = torch.arange(3 * 7).view(3, 7) * 5 % 60, torch.tensor([7, 5, 3])


def by_hand(module: Classifier, row: int) -> Tensor:
    """Attention over one text alone, in double precision."""
    length = LENGTHS[row : row + 1]
    with torch.no_grad():
        states = module.states(WORDS[row : row + 1, : length[0]], length).double()[0]
    part = module.attention.double()
    if isinstance(part, Dot):
        scores = states @ part.query(states[-1])
    else:
        scores = part.score(torch.tanh(part.hidden(states)))[:, 0]
    module.float()
    return scores.softmax(0).float()


@pytest.mark.parametrize(
    ("attention", "how"), [(Additive, "bmm"), (Additive, "einsum"), (Additive, "sum"), (Dot, "")]
)
def test_a_bilstm_with_attention_as_a_user_writes_it(attention, how) -> None:
    module = enlarged(Classifier(attention, how))
    declare(module, "attention", example=(WORDS, LENGTHS))
    assert all(report.passed for report in verify(module))
    with torch.no_grad():
        plain = module(WORDS, LENGTHS)
    (event,), output = observed(module, WORDS, LENGTHS)
    assert torch.equal(output, plain)
    assert event.attention.shape == (3, 1, 1, 7) and event.site.way_in == "declaration"
    assert torch.equal(event.visible.sum(-1).flatten(), LENGTHS)
    product = torch.einsum("bhqk,bhkd->bqhd", event.attention, event.value)
    assert torch.allclose(product, event.head_output, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        expected = by_hand(module, row)
        assert torch.allclose(event.attention[row, 0, 0, :length], expected, atol=1e-6)
        assert event.attention[row, 0, 0, length:].eq(0).all()
    # With the one head gone only the bias of the classes is left.
    _, gated = observed(module, WORDS, LENGTHS, hooks=(gate_heads(torch.zeros(1, 1)),))
    assert torch.equal(gated, module.classes.bias.detach().expand(3, 2))
    assert not torch.allclose(gated, plain, atol=1e-2)


def test_a_declaration_says_what_it_did_not_find() -> None:
    module = Classifier(Additive, "from the right")
    declare(module, "attention", example=(WORDS, LENGTHS))
    with pytest.raises(
        BertologyError, match=r"attention of Classifier was declared.*from the left"
    ):
        find_sites(module)
    module = Classifier(Additive, "bmm")
    declare(module, "lstm", example=(WORDS, LENGTHS))
    with pytest.raises(BertologyError, match=r"lstm of .* found in attention: declare that"):
        find_sites(module)
    with pytest.raises(BertologyError, match="no submodule 'attn'"):
        declare(module, "attn")
    with pytest.raises(BertologyError, match="layout 'bxk'"):
        declare(module, "attention", layout="bxk")
    with pytest.raises(BertologyError, match="give an example"):
        find_sites(Classifier(Additive, "bmm"))


def test_the_axes_of_an_einsum_can_be_declared() -> None:
    class HeadsFirst(nn.Module):
        """(head, batch, query, key): without a word the first axis would be taken for the batch."""

        def forward(self, states: Tensor) -> Tensor:
            heads = states.unflatten(-1, (4, 8))
            weights = torch.einsum("bqhd,bkhd->hbqk", heads, heads).softmax(-1)
            return torch.einsum("hbqk,bkhd->bqhd", weights, heads).flatten(2)

    module, states = nn.Sequential(HeadsFirst()), torch.randn(3, 5, 32)
    declare(module, "HeadsFirst", example=(states,), layout="hbqk")
    (event,), _ = observed(module, states)
    scores = torch.einsum("bqhd,bkhd->bhqk", *[states.unflatten(-1, (4, 8))] * 2)
    assert torch.allclose(event.attention, scores.softmax(-1), atol=1e-6)


def test_the_example_of_the_page_runs(capsys) -> None:
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == "torch.Size([2, 1, 1, 4])\n"
