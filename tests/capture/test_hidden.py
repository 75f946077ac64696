"""Hidden states are what blocks read and return, in every family, for each stack."""

from functools import cache

import pytest
import torch

from bertology import BertologyError
from bertology.capture import hidden_states
from bertology.capture.blocks import stacks_of
from bertology.capture.restart import restart_blocks

from .families import FAMILIES
from .oracles import build, padded


@cache
def model(name):
    module = build(FAMILIES[name])
    return module, padded(FAMILIES[name], module)


#: Families that end a stack with a norm, and where it is; none for one without a name.
NORMS = {
    "gpt2": "ln_f", "llama": "norm", "mistral": "norm", "qwen2": "norm", "qwen3": "norm",
    "gemma2": "norm", "gemma3": "norm", "phi3": "norm", "gpt_oss": "norm", "ctrl": "layernorm",
    "gpt_neo": "ln_f", "gpt_neox": "final_layer_norm", "gptj": "ln_f", "bloom": "ln_f",
    "mpt": "norm_f", "falcon": "ln_f", "opt": "decoder.final_layer_norm",
    "modernbert": "final_norm", "megatron_bert": "encoder.ln",
    "bigbird_pegasus": "{}.layernorm_embedding", "t5": "{}.final_layer_norm",
    "longt5": "{}.final_layer_norm", "longt5, summaries": "{}.final_layer_norm",
    "mbart": "{}.layer_norm", "pegasus": "{}.layer_norm", "whisper": "{}.layer_norm",
}  # fmt: skip


def own_states(module, output, stack):
    if module.config.is_encoder_decoder:
        return output[f"{stack}_hidden_states"]
    states = output["hidden_states"]
    if type(module).__name__ == "FunnelModel":  # one list for both stacks, joined by upsampling
        return states[:4] if stack == "encoder" else states[4:]
    if type(module).__name__ == "CanineModel":  # theirs repeats what its later stacks read
        return [state for place, state in enumerate(states) if place not in (2, 6)]
    return states


@pytest.mark.parametrize("name", FAMILIES)
def test_hidden_states_are_transformers_own_before_the_final_norm(name) -> None:
    if name == "squeezebert":
        with pytest.raises(BertologyError, match="blocks of SqueezeBertModel cannot be found"):
            look(name)
        return
    module, inputs = model(name)
    for stack in stacks_of(module):
        # Reformer draws its hashes anew in each pass, so there is one pass.
        with torch.no_grad(), hidden_states(module, stack=stack) as states:
            own = own_states(module, module(**inputs, output_hidden_states=True), stack)
        assert len(states) == len(own)
        norm = NORMS.get(name)
        for ours, theirs in list(zip(states, own, strict=True))[: -1 if norm else None]:
            # Where texts are padded to whole windows inside, theirs are cut.
            assert torch.equal(ours[:, : theirs.shape[1]], theirs)
        if norm:
            normed = module.get_submodule(norm.format(stack))(states[-1])
            torch.testing.assert_close(normed, own[-1], atol=1e-5, rtol=1e-5)
            assert not torch.allclose(states[-1], own[-1], atol=1e-2)


def look(name):
    with hidden_states(model(name)[0]):
        pass


def test_groups_of_shared_layers_have_a_state_for_each_layer() -> None:
    family = FAMILIES["albert"]
    options = {**family.options, "num_hidden_layers": 4, "num_hidden_groups": 2,
               "inner_group_num": 2}  # fmt: skip
    module = build(type(family)(family.config, options, family.way, family.projection))
    inputs = padded(family, module)
    with torch.no_grad(), hidden_states(module) as states:
        for _ in range(2):
            own = module(**inputs, output_hidden_states=True).hidden_states
    assert len(states) == len(own) == 9
    assert all(torch.equal(a, b) for a, b in zip(states, own, strict=True))
    assert restart_blocks(module) == []


def test_states_of_an_encoder_stay_while_its_decoder_writes() -> None:
    module, inputs = model("t5")
    with torch.no_grad(), hidden_states(module, stack="encoder") as states:
        ran = module.encoder(inputs["input_ids"], inputs["attention_mask"])
        first = [state.clone() for state in states]
        module(encoder_outputs=ran, decoder_input_ids=inputs["input_ids"][:, :2])
        assert len(states) == 4
        assert all(torch.equal(a, b) for a, b in zip(states, first, strict=True))
        module.encoder(inputs["input_ids"][:, :5])
    assert [state.shape[1] for state in states] == [5] * 4


def test_a_model_with_two_stacks_has_two_lists() -> None:
    with pytest.raises(BertologyError, match=r"several stacks.*stack='encoder'.*'decoder'"):
        look("t5")
    module, _ = model("bert")
    with (
        pytest.raises(BertologyError, match="no stack 'decoder'; this model has encoder"),
        hidden_states(module, stack="decoder"),
    ):
        pass


def test_a_failed_pass_does_not_leak_into_the_next() -> None:
    module, inputs = model("bert")

    def fail(*_):
        raise KeyError("on purpose")

    with torch.no_grad(), hidden_states(module) as states:
        handle = module.encoder.layer[1].register_forward_hook(fail)
        with pytest.raises(KeyError):
            module(**inputs)
        handle.remove()
        own = module(**inputs, output_hidden_states=True).hidden_states
    assert len(states) == 4
    assert all(torch.equal(a, b) for a, b in zip(states, own, strict=True))
