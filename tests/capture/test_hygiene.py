"""Sessions leave models as they were: after errors, nested, in threads, in composite models."""

import copy
import gc
import threading
import weakref
from functools import cache

import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import (
    Hook,
    find_sites,
    gate_heads,
    hidden_states,
    hooked,
    patch_hidden,
)
from bertology.capture.restart import recording, restart_blocks, skipping
from bertology.capture.ways import interface

from .families import FAMILIES
from .oracles import build, padded

LOOK = Hook(observe=lambda event: None)
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 40}  # fmt: skip


def fresh(name):
    module = build(FAMILIES[name])
    find_sites(module)  # transformers installs hooks of its own on first use
    inputs = padded(FAMILIES[name], module)
    with torch.no_grad():
        module(**inputs)
    return module, inputs


def run(module, inputs):
    with torch.no_grad():
        return module(**inputs)[0]


def state(*modules):
    """All that a session could leave behind, in modules, configurations, and the process."""
    parts = [part for module in modules for part in module.modules()]
    return (
        [
            (
                part.training,
                sorted(key for key in part.__dict__ if not key.startswith("_hf")),
                {key: len(value) for key, value in part.__dict__.items() if "hooks" in key},
                part.__dict__.get("forward"),
                getattr(getattr(part, "config", None), "_attn_implementation_internal", None),
            )
            for part in parts
        ],
        len(interface._listeners),
        len(interface._switches),
        interface.running.inside,
        interface.running.sessions,
        interface.running.with_masks,
        torch._C._len_torch_function_stack(),
    )


def seen(module, inputs, *hooks):
    """What comes out of each site's hook in one pass."""
    kept = []
    with torch.no_grad(), hooked(module, *hooks, Hook(observe=kept.append)):
        output = module(**inputs)[0]
    return output, [event.attention for event in kept]


@pytest.mark.parametrize("name", ["bert", "llama", "deberta", "xlnet", "albert", "t5"])
def test_nested_and_repeated_sessions(name) -> None:
    module, inputs = fresh(name)
    bare, before = run(module, inputs), state(module)
    outer, inner = [], []
    for _ in range(3):
        with torch.no_grad(), hooked(module, Hook(observe=outer.append)) as sites:
            with hooked(module, Hook(observe=inner.append)), hidden_states(module, stack="encoder"
                        if name == "t5" else None):  # fmt: skip
                module(**inputs)
            output = module(**inputs)[0]
        assert state(module) == before
        torch.testing.assert_close(output, bare, atol=1e-4, rtol=1e-4)
    assert (len(outer), len(inner)) == (6 * len(sites), 3 * len(sites))
    for one, other in zip(outer, inner[:1], strict=False):
        assert torch.equal(one.attention, other.attention)
    assert torch.equal(run(module, inputs), bare)


class StopNow(Exception):
    pass


def fail(*_, **__):
    raise StopNow


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["bert", "deberta", "t5"])
@pytest.mark.parametrize(
    "where", ["observe", "edit attention", "edit output", "block", "attention module", "interrupt"]
)
def test_errors_in_the_middle_of_a_pass(name, where) -> None:
    module, inputs = fresh(name)
    bare = run(module, inputs)
    part = module.get_submodule(find_sites(module)[1].module)
    hook, expected, handles = LOOK, StopNow, []
    if where == "observe":
        hook = Hook(observe=fail)
    elif where == "edit attention":
        hook = Hook(edit_attention=fail, layers={1})
    elif where == "edit output":
        hook = Hook(edit_output=fail, layers={1})
    elif where == "block":
        handles.append(part.register_forward_hook(fail))
    elif where == "attention module":  # before our own hooks of this module run
        handles.append(part.register_forward_pre_hook(fail))
    else:  # torch runs no hooks after an interrupt
        child = next(child for child in part.children() if isinstance(child, torch.nn.Linear))
        handles.append(child.register_forward_hook(interrupt))
        expected = KeyboardInterrupt
    before = state(module)
    find_sites(module)
    for handle in handles:
        assert handle.id in (*part._forward_hooks, *part._forward_pre_hooks) or where == "interrupt"
    with pytest.raises(expected), torch.no_grad():
        opened = hooked(module, hook) if not handles else session_of(module, hook)
        with opened:
            module(**inputs)
    assert state(module) == before
    for handle in handles:
        handle.remove()
    assert torch.equal(run(module, inputs), bare)
    torch.testing.assert_close(seen(module, inputs)[0], bare, atol=1e-4, rtol=1e-4)


def session_of(module, hook):
    """Without the proof, which would fail on a module that fails."""
    from bertology.capture.session import session

    return session(module, hook)


@pytest.mark.parametrize("what", ["hidden", "patch", "restart"])
def test_other_contexts_leave_nothing_either(what) -> None:
    module, inputs = fresh("bert")
    bare, blocks, before = run(module, inputs), restart_blocks(module), state(module)
    with torch.no_grad(), recording(module, blocks) as passes:
        module(**inputs)
    assert state(module) == before
    contexts = {
        "hidden": lambda: hidden_states(module),
        "patch": lambda: patch_hidden(module, 1, torch.zeros(1, 1, 32)),
        "restart": lambda: skipping(module, blocks, passes, 2),
    }
    with pytest.raises(StopNow), contexts[what]():
        fail()
    assert state(module) == before
    assert torch.equal(run(module, inputs), bare)


@pytest.mark.parametrize("name", ["bert", "llama", "deberta"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_models_keep_their_gradients(name, reentrant) -> None:
    """Inside a session the module is in eval mode, where nothing is checkpointed."""
    module, inputs = fresh(name)
    module.requires_grad_(True)
    gates = torch.ones(3, 4, requires_grad=True)

    def gradients():
        calls = []
        with hooked(module, gate_heads(gates), Hook(observe=calls.append)):
            loss = module(**inputs)[0].square().mean()
            loss.backward()
        assert len(calls) == 3, "each layer is computed once"
        found = [gates.grad.clone(), *(p.grad for p in module.parameters() if p.grad is not None)]
        gates.grad = None
        module.zero_grad()
        return found

    plain = gradients()
    module.gradient_checkpointing_enable({"use_reentrant": reentrant})
    module.train()
    before = state(module)
    for one, other in zip(plain, gradients(), strict=True):
        assert torch.equal(one, other)
    assert state(module) == before


@pytest.mark.parametrize("name", ["bert", "deberta"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_pass_from_before_the_session_is_not_computed_again_inside(name, reentrant) -> None:
    module, inputs = fresh(name)
    module.gradient_checkpointing_enable({"use_reentrant": reentrant})
    module.train()
    loss = module(**inputs)[0].square().mean()
    before = state(module)
    with (
        hooked(module, LOOK),
        pytest.raises(BertologyError, match=r"call backward\(\) outside of it"),
    ):
        loss.backward()
    assert state(module) == before


def test_compiled_modules_are_refused() -> None:
    module, _ = fresh("bert")
    whole = torch.compile(module)
    with (
        pytest.raises(BertologyError, match=r"compiled by torch\.compile.*_orig_mod"),
        hooked(whole),
    ):
        pass
    with pytest.raises(BertologyError, match=r"compiled by torch\.compile"), hidden_states(whole):
        pass
    with hooked(module):  # the module itself is as it was
        pass
    layer = copy.deepcopy(module)
    layer.encoder.layer[1].compile()
    with pytest.raises(BertologyError, match=r"encoder\.layer\.1 is compiled"), hooked(layer):
        pass
    method = copy.deepcopy(module)
    method.encoder.forward = torch.compile(method.encoder.forward)
    with pytest.raises(BertologyError, match="encoder is compiled"), hooked(method):
        pass


@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta"])
def test_dropout_is_off_inside_and_modes_are_restored_one_by_one(name) -> None:
    module, inputs = fresh(name)  # their configurations drop a tenth
    module.train()
    frozen = module.get_submodule(find_sites(module)[1].module)
    frozen.eval()
    assert not torch.equal(run(module, inputs), run(module, inputs)), "positive control"
    before = state(module)
    first, maps = seen(module, inputs)
    assert state(module) == before and not frozen.training and module.training
    second, again = seen(module, inputs)
    assert torch.equal(first, second)
    for one, other in zip(maps, again, strict=True):
        assert torch.equal(one, other)
        assert torch.allclose(one.sum(-1), torch.ones(1), atol=1e-5)


def test_two_different_models_at_once() -> None:
    one, two = fresh("bert"), fresh("gpt2")
    alone = seen(*one)[1], seen(*two)[1]
    before = state(one[0], two[0])
    kept = [], []
    with torch.no_grad(), hooked(one[0], Hook(observe=kept[0].append)):
        with hooked(two[0], Hook(observe=kept[1].append)):
            for module, inputs in (one, two):
                module(**inputs)
        run(*two)  # outside its own session, inside the other's
    assert state(one[0], two[0]) == before
    for events, maps in zip(kept, alone, strict=True):
        assert len(events) == len(maps)
        assert all(torch.equal(a.attention, b) for a, b in zip(events, maps, strict=True))


def pair(kind="bert"):
    """Two models of one class that share one configuration object."""
    kinds = {
        "bert": (transformers.BertModel, transformers.BertConfig(pad_token_id=0, **SIZES)),
        "llama": (transformers.LlamaModel, transformers.LlamaConfig(pad_token_id=0, **SIZES)),
    }
    make, config = kinds[kind]
    torch.manual_seed(0)
    config._attn_implementation = "sdpa"
    models = [make(config).eval() for _ in range(2)]
    for model in models:
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.35)
    assert models[0].config is models[1].config
    return models


@cache
def text():
    ids = torch.arange(27).view(3, 9) * 7 % 55 + 3
    mask = (torch.arange(9) < torch.tensor([[9], [6], [4]])).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_models_that_share_their_configuration(kind, kernel) -> None:
    one, two = pair(kind)
    one.config._attn_implementation = kernel
    rows = text()["attention_mask"].bool()
    bare = [run(model, text()) for model in (one, two)]
    alone = [seen(model, text())[1] for model in (one, two)]
    before, kept = state(one, two), ([], [])
    with torch.no_grad(), hooked(one, Hook(observe=kept[0].append)):
        # The other is in no session, and runs as ever.
        torch.testing.assert_close(run(two, text())[rows], bare[1][rows], atol=1e-4, rtol=1e-4)
        assert kept == ([], [])
        with hooked(two, Hook(observe=kept[1].append)):
            run(one, text())
            run(two, text())
        run(one, text())
    assert state(one, two) == before and one.config._attn_implementation == kernel
    assert [len(events) for events in kept] == [4, 2]
    for events, maps in zip(kept, alone, strict=True):
        assert all(torch.equal(a.attention, b) for a, b in zip(events, maps, strict=False))
    for model, output in zip((one, two), bare, strict=True):
        assert torch.equal(run(model, text()), output)


def test_sessions_of_models_that_share_a_configuration_may_end_in_any_order() -> None:
    one, two = pair()
    before, kept = state(one, two), []
    first = hooked(one, LOOK)
    second = hooked(two, Hook(observe=kept.append))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    run(two, text())
    second.__exit__(None, None, None)
    assert len(kept) == 2 and state(one, two) == before


def test_models_that_share_a_part() -> None:
    whole = composite()
    encoder, inputs = whole.encoder, {**text(), "decoder_input_ids": text()["input_ids"]}
    alone, maps = seen(encoder, text()), seen(whole, inputs)
    before, kept = state(whole), ([], [])
    with torch.no_grad(), hooked(whole, Hook(observe=kept[0].append)):
        with hooked(encoder, Hook(observe=kept[1].append)):
            whole(**inputs)
        # A part may run alone: its sites are those of the whole.
        encoder(**text())
    assert state(whole) == before
    assert [len(events) for events in kept] == [8, 2]
    for event, expected in zip(kept[1], alone[1], strict=True):
        assert torch.equal(event.attention, expected)
    for event, expected in zip(kept[0], [*maps[1], *alone[1]], strict=True):
        assert torch.equal(event.attention, expected)


def composite():
    torch.manual_seed(0)
    encoder = transformers.BertConfig(**SIZES)
    decoder = transformers.GPT2Config(
        vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=40, add_cross_attention=True,
        is_decoder=True, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id = 1, 0
    module = transformers.EncoderDecoderModel(config).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    return module


def test_every_configuration_of_a_composite_model_is_restored() -> None:
    module = composite()
    module.encoder.config._attn_implementation = "eager"
    module.decoder.config._attn_implementation = "sdpa"
    inputs = {**text(), "decoder_input_ids": text()["input_ids"]}
    bare, before = run(module, inputs), state(module)
    output, maps = seen(module, inputs)
    assert state(module) == before
    assert module.encoder.config._attn_implementation == "eager"
    assert module.decoder.config._attn_implementation == "sdpa"
    torch.testing.assert_close(output, bare, atol=1e-4, rtol=1e-4)
    assert len(maps) == 6
    gated = gate_heads(torch.zeros(2, 4), stack="decoder", kind="cross")
    assert not torch.allclose(seen(module, inputs, gated)[0], bare, atol=1e-2)


def test_a_model_of_texts_and_images() -> None:
    config = transformers.CLIPConfig(
        text_config={**SIZES, "eos_token_id": 2, "pad_token_id": 0},
        vision_config={"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
                       "intermediate_size": 48, "image_size": 8, "patch_size": 4},
        projection_dim=16,
    )  # fmt: skip
    module = transformers.CLIPModel(config).eval()
    module.vision_model.config._attn_implementation = "eager"
    for part in (module.text_model, module.vision_model):
        kept, before = [], state(module)
        inputs = text() if part is module.text_model else {"pixel_values": torch.randn(3, 3, 8, 8)}
        with torch.no_grad(), hooked(part, Hook(observe=kept.append)):
            part(**inputs)
        assert len(kept) == 2 and state(module) == before
    with pytest.raises(BertologyError, match="CLIPModel cannot read the inputs"), hooked(module):
        pass
    assert state(module) == before
    assert module.vision_model.config._attn_implementation == "eager"
    assert module.text_model.config._attn_implementation == "sdpa"


def in_thread(work):
    """Run in another thread; what it raised is raised here."""
    raised = []

    def guarded():
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


@pytest.mark.parametrize("name", ["bert", "deberta"])
def test_one_model_in_two_threads_is_refused(name) -> None:
    module, inputs = fresh(name)
    bare, before = run(module, inputs), state(module)

    def enter():
        with hooked(module, LOOK):
            pass

    with hooked(module, LOOK):
        for work in (enter, lambda: run(module, inputs)):
            with pytest.raises(BertologyError, match="model of its own"):
                in_thread(work)
        torch.testing.assert_close(run(module, inputs), bare, atol=1e-4, rtol=1e-4)
        with pytest.raises(BertologyError, match="another thread"):
            in_thread(lambda: run(module.encoder.layer[0], {"hidden_states": torch.ones(1, 3, 32),
                                                           "attention_mask": None}
                                  if name == "bert" else {"hidden_states": torch.ones(1, 3, 32),
                                  "attention_mask": torch.ones(1, 1, 3, 3).bool()}))  # fmt: skip
    assert state(module) == before
    in_thread(enter)  # and taking turns is fine
    assert state(module) == before


def test_models_in_two_threads_may_not_share_a_part() -> None:
    whole = composite()
    seen(whole.encoder, text())
    before = state(whole)

    def enter():
        with hooked(whole.encoder, LOOK):
            pass

    with hooked(whole, LOOK), pytest.raises(BertologyError, match="model of its own"):
        in_thread(enter)
    with hooked(whole.encoder, LOOK), pytest.raises(BertologyError, match="model of its own"):
        in_thread(lambda: hooked(whole, LOOK).__enter__())
    assert state(whole) == before


def test_trial_passes_are_not_seen_by_the_sessions_around_them() -> None:
    """What is found out of a part while the whole has a session is no pass of the user's."""
    whole = composite()
    inputs, kept = {**text(), "decoder_input_ids": text()["input_ids"]}, []
    off = gate_heads(torch.zeros(2, 4), stack="encoder")
    look = Hook(observe=kept.append)
    with torch.no_grad(), hooked(whole, off, look), hidden_states(whole, stack="decoder") as states:
        whole(**inputs)
        before = len(states), [state.clone() for state in states]
        # Its proof would fail with every head switched off.
        with hooked(whole.encoder, LOOK), hidden_states(whole, stack="encoder"):
            pass
    assert len(kept) == 6 and len(states) == before[0] == 3
    assert all(torch.equal(a, b) for a, b in zip(states, before[1], strict=True))


@pytest.mark.parametrize("kind", ["bert", "shared configuration", "deberta"])
def test_two_models_in_two_threads_at_once(kind) -> None:
    if kind == "shared configuration":
        models = [(model, text()) for model in pair("llama")]
    else:
        models = [fresh(kind), fresh(kind)]
        with torch.no_grad():
            for parameter in models[1][0].parameters():
                parameter.mul_(1.1)
    alone = [seen(*model) for model in models]
    before = state(*(module for module, _ in models))
    start, wrong = threading.Barrier(2), []

    def work(number):
        start.wait(60)
        for _ in range(15):
            output, maps = seen(*models[number])
            same = torch.equal(output, alone[number][0]) and all(
                torch.equal(a, b) for a, b in zip(maps, alone[number][1], strict=True)
            )
            if not same:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong
    assert state(*(module for module, _ in models)) == before


def test_a_bystander_in_another_thread_that_shares_the_configuration() -> None:
    """Its masks are real ones: the session that they begin in may end before they are used."""
    one, two = pair("llama")
    rows = text()["attention_mask"].bool()
    bare = run(two, text())
    for _ in range(3):
        opened, results = hooked(one, LOOK), []
        opened.__enter__()
        inside, ended = threading.Event(), threading.Event()

        def pause(*_, inside=inside, ended=ended):
            inside.set()
            ended.wait(60)

        handle = two.layers[0].self_attn.register_forward_pre_hook(pause)
        thread = threading.Thread(target=lambda r=results: r.append(run(two, text())))
        thread.start()
        inside.wait(60)
        opened.__exit__(None, None, None)
        ended.set()
        thread.join(60)
        handle.remove()
        torch.testing.assert_close(results[0][rows], bare[rows], atol=1e-4, rtol=1e-4)


def test_copies_made_after_and_during_a_session() -> None:
    module, inputs = fresh("bert")
    output, maps = seen(module, inputs)
    double = copy.deepcopy(module)
    again, others = seen(double, inputs)
    assert torch.equal(output, again)
    assert all(torch.equal(a, b) for a, b in zip(maps, others, strict=True))
    with hooked(module, LOOK):
        inside = copy.deepcopy(module)
    with pytest.raises(BertologyError, match="a copy made inside the block"):
        run(inside, inputs)


@pytest.mark.parametrize("name", ["bert", "deberta", "t5", "longformer"])
def test_sessions_hold_no_model(name) -> None:
    module, inputs = fresh(name)
    stack = "encoder" if name == "t5" else None
    with torch.no_grad(), hooked(module, LOOK), hidden_states(module, stack=stack):
        module(**inputs)
    restart_blocks(module)
    with pytest.raises(StopNow), hooked(module, Hook(observe=fail)):
        module(**inputs)
    alive = weakref.ref(module)
    weights = [weakref.ref(parameter) for parameter in module.parameters()]
    del module
    gc.collect()
    assert alive() is None
    assert all(weight() is None for weight in weights)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"head_mask": torch.ones(3, 4)}, r"head_mask has no effect.*gate_heads"),
        ({"decoder_head_mask": torch.ones(3, 4)}, "decoder_head_mask has no effect"),
        ({"cross_attn_head_mask": torch.ones(3, 4)}, "cross_attn_head_mask has no effect"),
        ({"output_attentions": True}, r"output_attentions gives nothing.*capture\(model, texts\)"),
    ],
)
def test_dead_arguments_are_refused_with_what_to_use(named, says) -> None:
    module, inputs = fresh("bert")
    for hooks in ([], [LOOK]):
        with hooked(module, *hooks), pytest.raises(BertologyError, match=says):
            module(**inputs, **named)
    with torch.no_grad(), hooked(module, LOOK):
        module(**inputs, head_mask=None, output_attentions=False)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_generation_with_output_attentions_is_refused(kind) -> None:
    sizes = {"vocab_size": 60, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=40, **sizes)
        module = transformers.GPT2LMHeadModel(config).eval()
    else:
        config = transformers.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
                                       decoder_start_token_id=0, **sizes)  # fmt: skip
        module = transformers.T5ForConditionalGeneration(config).eval()
    options = {"max_new_tokens": 3, "do_sample": False, "return_dict_in_generate": True}
    with torch.no_grad(), hooked(module, LOOK):
        module.generate(torch.tensor([[5, 6, 7]]), **options)
        with pytest.raises(BertologyError, match="output_attentions gives nothing"):
            module.generate(torch.tensor([[5, 6, 7]]), output_attentions=True, **options)


def test_a_model_configured_to_return_attentions_returns_the_true_ones() -> None:
    module = build(FAMILIES["bert"], "eager")
    inputs = padded(FAMILIES["bert"], module)
    module.config.output_attentions = True
    kept = []
    with torch.no_grad(), hooked(module, Hook(observe=kept.append)):
        own = module(**inputs).attentions
    assert len(own) == 3
    assert all(torch.equal(a, event.attention) for a, event in zip(own, kept, strict=True))
