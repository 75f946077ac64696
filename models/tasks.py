"""What a checkpoint can be loaded as."""

from typing import Any

#: The tasks, and the transformers class that loads a model for each.
TASKS = {
    "encoder": "AutoModel",
    "masked-lm": "AutoModelForMaskedLM",
    "causal-lm": "AutoModelForCausalLM",
    "seq2seq-lm": "AutoModelForSeq2SeqLM",
    "classification": "AutoModelForSequenceClassification",
}
_ENDINGS = {
    # Discriminators: they say of each token whether it was replaced, and predict none.
    "ElectraForPreTraining": "encoder",
    "FunnelForPreTraining": "encoder",
    "ForSequenceClassification": "classification",
    "ForMaskedLM": "masked-lm",
    "ForPreTraining": "masked-lm",
    "ForConditionalGeneration": "seq2seq-lm",
    "MTModel": "seq2seq-lm",
    "EncoderDecoderModel": "seq2seq-lm",
    # XLM and Flaubert, and T5 as it was once called.
    "WithLMHeadModel": "masked-lm",
    "ModelWithLMHead": "masked-lm",
    "ForCausalLM": "causal-lm",
    "LMHeadModel": "causal-lm",
}


def task_of(config: Any, *, generates: bool = False) -> str:
    """What the architecture of a checkpoint was made for.

    Args:
        generates: what to think of a checkpoint that names no architecture, as GGUF files do.
    """
    architecture = _architecture(config)
    task = next((task for ending, task in _ENDINGS.items() if architecture.endswith(ending)), None)
    two_stacks = getattr(config, "is_encoder_decoder", False)
    if not architecture and generates:
        return "seq2seq-lm" if two_stacks else "causal-lm"
    if task == "masked-lm" and architecture.endswith(("WithLMHeadModel", "ModelWithLMHead")):
        # The same class is trained either way; the configuration says which.
        if two_stacks:
            return "seq2seq-lm"
        causal = getattr(config, "causal", False) or getattr(config, "is_decoder", False)
        return "causal-lm" if causal else "masked-lm"
    if task == "seq2seq-lm" and not two_stacks:
        # Models that write about images or sound bear the same ending.
        return "encoder"
    return task or "encoder"


def loader_name(task: str, config: Any) -> str:
    """The transformers class that loads a checkpoint for a task."""
    if task == "encoder" and _architecture(config).endswith("EncoderModel"):
        # One half of an encoder-decoder model, saved alone (T5EncoderModel).
        return "AutoModelForTextEncoding"
    return TASKS[task]


def _architecture(config: Any) -> str:
    return (getattr(config, "architectures", None) or [""])[0]
