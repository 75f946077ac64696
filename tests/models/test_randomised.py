"""Models with random weights are random where they should be, and say so."""

import pytest
import torch
import transformers

from bertology.capture.blocks import stack_blocks
from bertology.errors import ModelError
from bertology.models import LoadedModel, provenance, randomised

FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "ernie", "gpt2", "llama"]


def weights(model: LoadedModel) -> dict[str, torch.Tensor]:
    return dict(model.module.named_parameters())


@pytest.fixture(scope="module")
def xlm(tokenizer_of) -> LoadedModel:
    """Its blocks are several lists: attention, feed-forward and norms."""
    config = transformers.XLMConfig(vocab_size=60, emb_dim=32, n_layers=2, n_heads=4)
    return LoadedModel("xlm", transformers.XLMModel(config).eval(), tokenizer_of(), "encoder")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_is_what_is_no_block(family: str, tiny_model) -> None:
    model = tiny_model(family)
    blocks = tuple(f"{name}." for name in stack_blocks(model.module).names)
    kept = weights(randomised(model, keep_embeddings=True, seed=0))
    anew = weights(randomised(model, keep_embeddings=False, seed=0))
    for name, before in weights(model).items():
        if before.dim() > 1:
            assert torch.equal(kept[name], before) != name.startswith(blocks), name
            assert not torch.equal(anew[name], before), name
        elif not name.startswith(blocks):
            assert torch.equal(kept[name], before), name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("keep", [True, False])
def test_weights_are_spread_as_in_a_new_model(family: str, keep: bool, tiny_model) -> None:
    """The oracle is a model built from the configuration."""
    model = tiny_model(family)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.add_(1.0)  # Nothing that is left as it was passes for something drawn.
    blocks = tuple(f"{name}." for name in stack_blocks(model.module).names)
    drawn = weights(randomised(model, keep_embeddings=keep, seed=0))
    for name, new in type(model.module)(model.config).named_parameters():
        if keep and not name.startswith(blocks):
            continue
        if new.dim() > 1:
            # At least 256 draws: the spread is known to 5 %, and held here to four times that.
            assert drawn[name].std().item() == pytest.approx(new.std().item(), rel=0.2), name
        else:
            assert torch.equal(drawn[name], new), name  # Norms are 1, biases 0.


def test_a_loaded_model_is_drawn_too(demo) -> None:
    """transformers marks what it loads and then leaves it as it is."""
    for keep in (True, False):
        drawn, before = weights(randomised(demo, keep_embeddings=keep, seed=0)), weights(demo)
        for name, weight in drawn.items():
            if keep and "encoder" not in name:
                assert torch.equal(weight, before[name]), name
            elif weight.dim() > 1:
                assert weight.std().item() == pytest.approx(0.02, rel=0.1), name
            else:
                assert (weight == float("norm.weight" in name.lower())).all(), name


def test_the_seed_decides_and_the_original_stays(tiny_model) -> None:
    model = tiny_model("bert")
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, again, other = (
        randomised(model, keep_embeddings=False, seed=seed).module.state_dict()
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), expected)  # The caller's own draws go on as they would.
    for name, value in before.items():
        assert torch.equal(model.module.state_dict()[name], value)
        assert torch.equal(one[name], again[name])
        if value.dim() > 1:
            assert not torch.equal(one[name], other[name])


def test_tied_weights_stay_tied_and_kept(tiny_model) -> None:
    for family, task in (("bert", "masked-lm"), ("gpt2", "causal-lm")):
        model = tiny_model(family, task)
        for keep in (True, False):
            copy = randomised(model, keep_embeddings=keep, seed=0).module
            table = copy.get_input_embeddings().weight
            assert copy.get_output_embeddings().weight is table
            assert torch.equal(table, model.module.get_input_embeddings().weight) == keep


def test_blocks_in_several_lists_are_drawn_whole(xlm) -> None:
    copy = weights(randomised(xlm, keep_embeddings=True, seed=0))
    for name, before in weights(xlm).items():
        if before.dim() > 1:
            assert torch.equal(copy[name], before) == ("embeddings" in name), name


def test_a_random_model_does_not_pass_for_the_original(demo, sample) -> None:
    names = set()
    for keep in (True, False):
        for seed in (0, 1):
            record = provenance(
                randomised(demo, keep_embeddings=keep, seed=seed), sample, seed=0, skipped=[]
            )
            assert record.weights_sha256 is None and record.model.startswith(f"{demo.name} with")
            names.add(record.model)
    assert len(names) == 4
    assert provenance(demo, sample, seed=0, skipped=[]).weights_sha256 == demo.weights_sha256


class OfOneLayer(transformers.PreTrainedModel):
    """A model of a user: one block, in no list."""

    config_class = transformers.BertConfig

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.embeddings, self.block = torch.nn.Embedding(9, 4), torch.nn.Linear(4, 4)


class ThatKeepsAWeight(OfOneLayer):
    """Its own initialisation forgets the block."""

    def _init_weights(self, module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight)


class ThatDrawsByName(transformers.PreTrainedModel):
    """Two tables of embeddings in a list; the whole model draws every weight by its name."""

    config_class = transformers.BertConfig

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.tables = torch.nn.ModuleList([torch.nn.Embedding(50, 8) for _ in range(2)])
        self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 50) for _ in range(2)])

    @classmethod
    def is_custom_code(cls) -> bool:
        return False  # Of a user's own class transformers draws no weights from the top.

    def _init_weights(self, module: torch.nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            for name, weight in self.named_parameters():
                if "weight" in name:
                    torch.nn.init.normal_(weight, std=5.0)


def test_weights_drawn_by_name_are_drawn_in_blocks_alone(tokenizer_of) -> None:
    module = ThatDrawsByName(transformers.BertConfig())
    model = LoadedModel("own", module, tokenizer_of(), "encoder")
    for keep in (True, False):
        drawn = weights(randomised(model, keep_embeddings=keep, seed=0))
        for name, before in weights(model).items():
            assert torch.equal(drawn[name], before) == (keep and "tables" in name), name
            if "layers" in name and "weight" in name:
                # 400 draws: four standard errors of their spread.
                assert drawn[name].std().item() == pytest.approx(5.0, rel=0.15)


def test_models_that_cannot_be_drawn_are_refused(tokenizer_of) -> None:
    def loaded(module: torch.nn.Module) -> LoadedModel:
        return LoadedModel("own", module, tokenizer_of(), "encoder")

    with pytest.raises(ModelError, match="Linear cannot be made random: it does not say how"):
        randomised(loaded(torch.nn.Linear(1, 1)), keep_embeddings=False, seed=0)
    one = loaded(OfOneLayer(transformers.BertConfig()))
    with pytest.raises(ModelError, match="blocks of OfOneLayer are in no list"):
        randomised(one, keep_embeddings=True, seed=0)
    assert randomised(one, keep_embeddings=False, seed=0).module.block.weight.std() < 0.05
    forgetful = loaded(ThatKeepsAWeight(transformers.BertConfig()))
    with pytest.raises(ModelError, match=r"leaves block\.weight as it is"):
        randomised(forgetful, keep_embeddings=False, seed=0)
