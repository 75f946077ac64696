"""One long text through a small Llama with random weights: no tokenizer, no words."""

import torch
import transformers
from batches import DTYPES
from reductions import STATISTICS, describe, statistics
from serving import Job, Result, Settings, serve
from torch import Tensor

from bertology.capture import Hook, hooked
from bertology.probing.heads import STATISTICS as OURS
from bertology.probing.heads import RowSums, TokenFeatures, block_size

LAYERS, HEADS, WIDTH, VOCABULARY = 4, 8, 256, 1000


def bertology_long(module: torch.nn.Module, ids: Tensor) -> Tensor:
    """Mean of each statistic of `heads.csv` over the rows: (layer, head, statistic).

    Attention comes in blocks of rows; the whole map of a head never exists.
    """
    features = TokenFeatures(
        rows=torch.ones(ids.shape, device=ids.device),
        columns=_columns(ids.shape[1]).to(ids.device),
    )
    sums = RowSums(features)
    hook = Hook(observe=sums.observe, block=block_size(ids.device))
    with torch.no_grad(), hooked(module, hook) as sites:
        module(input_ids=ids, use_cache=False)
    found = torch.stack([sums.values[site][0] for site in sites])
    return found[..., [OURS.index(name) for name in STATISTICS]] / ids.shape[1]


def eager_long(module: torch.nn.Module, ids: Tensor) -> Tensor:
    """The same by hand, from `output_attentions`."""
    choices = torch.arange(1, ids.shape[1] + 1, device=ids.device)[None]
    tokens = describe(torch.ones_like(ids), choices, _columns(ids.shape[1]).to(ids.device))
    with torch.inference_mode():
        attentions = module(input_ids=ids, use_cache=False, output_attentions=True).attentions
        return torch.stack([statistics(attention, tokens)[0] for attention in attentions])


def _columns(length: int) -> Tensor:
    """(1, key, 4): the first token, and no special tokens."""
    columns = torch.zeros(1, length, 4)
    columns[:, 0, 0] = 1
    return columns


def load(settings: Settings) -> Job:
    length, eager = settings["length"], settings["contender"] == "eager"
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=length,
    )
    torch.manual_seed(0)
    # Without a word from us, transformers chooses the kernel.
    kernel = {"attn_implementation": "eager"} if eager else {}
    module = transformers.AutoModel.from_config(config, **kernel)
    module = module.to(settings["device"], DTYPES[settings["dtype"]]).eval()
    ids = torch.randint(VOCABULARY, (1, length)).to(settings["device"])
    ways = {"eager": eager_long, "bertology": bertology_long}

    def bare() -> Result:
        with torch.inference_mode():
            module(input_ids=ids, use_cache=False)
        return Result()

    def reductions() -> Result:
        found = ways[settings["contender"]](module, ids)
        return Result(found.float().cpu().numpy()[None])

    return bare if settings["contender"] == "bare" else reductions


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "bertology"))
