"""What a model card says of a model's family: files, sizes, losses."""

from dataclasses import dataclass

from .networks import has_module, is_latent, module_prefix
from .tensor_shapes import tensor_shapes

TOKENIZER_FILE = "| `../little_tales/tokenizer.bin` | the tokenizer, shared with `little_tales`, {vocabulary} tokens |"


@dataclass(frozen=True)
class Family:
    """The parts of a card that depend on the family of the model."""

    title: str
    introduction: str
    files: str
    architecture: str
    duration: str
    losses: str
    limits: str
    context: int


def family_of(name, model, figures):
    """The parts of a model's card that depend on its family."""
    if model.has_llama2c_file():
        return llama_family(name, model, figures)
    return published_family(name, model, figures)


def introduction_of(name, model, parameters):
    """The first paragraph of a card."""
    if name == "little_tales":
        return (
            f"A language model of {parameters:,} parameters that writes very short stories in\n"
            "plain English. It is small enough to be simulated token by token, and real enough\n"
            "that a wrong result shows: the text stops making sense.")
    if model.target:
        return (
            f"A language model of {parameters:,} parameters that writes the stories of `{model.target}`,\n"
            "but worse and faster: it drafts tokens that the larger model verifies.")
    return (
        f"A language model of {parameters:,} parameters that writes the very short stories of\n"
        "`little_tales`, in another architecture. It is small enough to be simulated token by\n"
        "token, and real enough that a wrong result shows: the text stops making sense.")


def limits_of(name, figures):
    """What the model's stories are like."""
    kept = f"{figures.stories_accepted:.0%} of sampled stories keep every agreement."
    if name == "little_tales":
        return (
            "Sentences are its strong side, whole stories its weak one. It mostly keeps the hero's name\n"
            "and pronoun and the thing the story is about, but it often gives the friend the hero's\n"
            f"name, or closes with the wrong animals; {kept}")
    return f"Sentences are its strong side, whole stories its weak one: {kept}"


def table(sizes):
    """One row of sizes under their names."""
    return "\n".join((
        "| " + " | ".join(sizes) + " |",
        "| " + " | ".join("---" for _ in sizes) + " |",
        "| " + " | ".join(str(size) for size in sizes.values()) + " |",
    ))


def llama_family(name, model, figures):
    """Llama-style decoders in a llama2.c file."""
    config = model.config
    own = f"| `tokenizer.bin` | llama2.c tokenizer, {config.vocab_size} tokens |"
    return Family(
        title="Little Tales" if name == "little_tales" else title_of(name),
        introduction=introduction_of(name, model, config.parameter_count()),
        files="| `model.bin` | llama2.c version-0 checkpoint, fp32, classifier shared with the embedding |\n"
        + (own if not model.target else TOKENIZER_FILE.format(vocabulary=config.vocab_size)),
        architecture=(
            "Llama-style decoder: RMSNorm (epsilon 1e-5), rotary positions on neighbouring pairs\n"
            "(theta 10000), grouped-query attention, SwiGLU, embedding table shared with the\nclassifier.\n\n"
            + table({
                "dim": config.dim, "hidden_dim": config.hidden_dim, "layers": config.n_layers,
                "heads": config.n_heads, "KV heads": config.n_kv_heads, "head size": config.head_size,
                "vocabulary": config.vocab_size, "context": config.seq_len})),
        duration="It takes a few minutes" if model.target else "It takes about a quarter of an hour",
        losses="", limits=limits_of(name, figures), context=config.seq_len)


def title_of(name):
    """A name as a heading: "Little Hybrid Drafter"."""
    return name.replace("_", " ").title()


def published_family(name, model, figures):
    """Decoders of published families in safetensors."""
    config = model.config
    total, module = parameter_counts(config)
    architecture = latent_architecture(config) if is_latent(config) else hybrid_architecture(config)
    if has_module(config):
        architecture += (
            f"\n\nOne module of multi-token prediction, {module:,} further parameters, which shares embedding\n"
            "and head: a projection of the normalised embedding of the next token and the\n"
            "normalised hidden state, and one layer like the last.")
    return Family(
        title=title_of(name),
        introduction=introduction_of(name, model, total),
        files="| `model.safetensors` | weights in bfloat16 by the names of Hugging Face"
        + ("; biases of routers in float32" if is_latent(config) else "") + " |\n"
        "| `config.json` | the sizes, as Hugging Face writes them |\n"
        + TOKENIZER_FILE.format(vocabulary=config["vocab_size"]),
        architecture=architecture,
        duration="It takes a few minutes" if model.target else "It takes about twenty minutes",
        losses=losses_of(config), limits=limits_of(name, figures), context=config["max_position_embeddings"])


def parameter_counts(config):
    """Parameters of the decoder, and of its module of multi-token prediction."""
    module = total = 0
    for name, shape in tensor_shapes(config).items():
        size = 1
        for extent in shape:
            size *= extent
        if name.startswith(("mtp.", module_prefix(config))):
            module += size
        else:
            total += size
    return total, module


def hybrid_architecture(config):
    """The architecture of Qwen3.5's family in words and sizes."""
    linear = config["layer_types"].count("linear_attention")
    text = (
        f"A decoder of the family of Qwen3.5: {linear} layer{'s' if linear > 1 else ''} of Gated DeltaNet,"
        f" {config['num_hidden_layers'] - linear} of grouped-query\n"
        "attention with an output gate, norms of query and key heads and rotary positions on a\n"
        "quarter of each head (theta 10000); RMSNorm (epsilon 1e-6), weights stored as their\n"
        "distance from 1; embedding and head of their own. ")
    sizes = {
        "hidden": config["hidden_size"], "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"], "KV heads": config["num_key_value_heads"],
        "head size": config["head_dim"],
        "delta key heads": config["linear_num_key_heads"], "delta value heads": config["linear_num_value_heads"],
        "delta head sizes": f"{config['linear_key_head_dim']} and {config['linear_value_head_dim']}"}
    if "num_experts" in config:
        text += (
            f"In every layer {config['num_experts']} experts, of which\n"
            f"a token takes {config['num_experts_per_tok']} (softmax, then divided by their sum), and a shared one"
            " weighted by a gate.")
        sizes |= {"expert width": config["moe_intermediate_size"],
                  "shared width": config["shared_expert_intermediate_size"]}
    else:
        text += "SwiGLU blocks."
        sizes |= {"block width": config["intermediate_size"]}
    return text + "\n\n" + table(sizes | outer_sizes(config))


def latent_architecture(config):
    """The architecture of DeepSeek-V3's family in words and sizes."""
    groups = config["n_group"]
    chosen_in = (f" out of the {config['topk_group']} best\nof {groups} groups" if groups > 1 else "")
    text = (
        "A decoder of the family of DeepSeek-V3: multi-head latent attention with rotary\n"
        "positions on neighbouring pairs (theta 10000), one dense layer, then layers with\n"
        f"{config['n_routed_experts']} experts, of which a token takes {config['num_experts_per_tok']}{chosen_in}"
        " (sigmoid; biases only choose;\n"
        f"weights divided by their sum, times {config['routed_scaling_factor']}), and a shared one; RMSNorm"
        " (epsilon 1e-6);\nembedding and head of their own.")
    return text + "\n\n" + table({
        "hidden": config["hidden_size"], "layers": config["num_hidden_layers"],
        "heads": config["num_attention_heads"], "query rank": config["q_lora_rank"],
        "KV rank": config["kv_lora_rank"], "nope": config["qk_nope_head_dim"], "rope": config["qk_rope_head_dim"],
        "value": config["v_head_dim"], "dense width": config["intermediate_size"],
        "expert width": config["moe_intermediate_size"]} | outer_sizes(config))


def outer_sizes(config):
    """Sizes that every network has."""
    return {"vocabulary": config["vocab_size"], "context": config["max_position_embeddings"]}


def losses_of(config):
    """What is trained besides the next token; begins a new paragraph, or is empty."""
    parts = []
    if has_module(config):
        parts.append("The module's loss, on the token after the next, counts 0.3 of the other's\n"
                     "(DeepSeek-V3, arXiv 2412.19437, section 4.2).")
    if "num_experts" in config:
        parts.append("Routers are kept even by the loss of Switch\n"
                     "Transformers (arXiv 2101.03961, equation 4), times 0.01.")
    if is_latent(config):
        parts.append("Biases of routers move by 0.001 per\n"
                     "step towards even loads; there is no loss for balance.")
    parts.append("Weights are rounded to\nbfloat16 at the end; all figures are of the rounded ones.")
    return "\n\n" + " ".join(parts)
