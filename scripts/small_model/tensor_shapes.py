"""Names and shapes of a network's tensors as Hugging Face stores them, but routed experts stacked."""

from .networks import has_experts, has_module, has_recurrence, is_latent, layer_prefixes, module_prefix, module_tensors


def tensor_shapes(config):
    """Name and shape of every trained tensor. Matrices are (out, in); stacks of experts come first."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for prefix in layer_prefixes(config):
        shapes.update(layer_shapes(config, prefix))
    shapes["model.norm.weight"] = (hidden,)
    shapes["lm_head.weight"] = (vocabulary, hidden)
    if has_module(config):
        embedding_norm, hidden_norm, combine, final_norm = module_tensors(config)
        shapes.update({name: (hidden,) for name in (embedding_norm, hidden_norm, final_norm)})
        shapes[combine] = (hidden, 2 * hidden)
        shapes.update(layer_shapes(config, module_prefix(config)))
    return shapes


def layer_shapes(config, prefix):
    """The tensors of one layer."""
    hidden = config["hidden_size"]
    if has_recurrence(config, prefix):
        mixer = delta_shapes(config)
    else:
        mixer = latent_shapes(config) if is_latent(config) else attention_shapes(config)
    block = expert_shapes(config) if has_experts(config, prefix) else block_shapes(
        "mlp.", config["intermediate_size"], hidden)
    norms = {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}
    return {prefix + name: shape for name, shape in {**norms, **mixer, **block}.items()}


def attention_shapes(config):
    """Grouped-query attention whose queries carry an output gate, with norms per head."""
    hidden, width = config["hidden_size"], config["head_dim"]
    queries, keys = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    return {
        "self_attn.q_proj.weight": (2 * queries, hidden),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.q_norm.weight": (width,),
        "self_attn.k_norm.weight": (width,),
        "self_attn.o_proj.weight": (hidden, queries),
    }


def delta_shapes(config):
    """Gated DeltaNet with separate projections, as Qwen3.5 has them."""
    hidden, heads = config["hidden_size"], config["linear_num_value_heads"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    values = heads * config["linear_value_head_dim"]
    return {
        "linear_attn.in_proj_qkv.weight": (2 * keys + values, hidden),
        "linear_attn.in_proj_z.weight": (values, hidden),
        "linear_attn.in_proj_b.weight": (heads, hidden),
        "linear_attn.in_proj_a.weight": (heads, hidden),
        "linear_attn.conv1d.weight": (2 * keys + values, 1, config["linear_conv_kernel_dim"]),
        "linear_attn.A_log": (heads,),
        "linear_attn.dt_bias": (heads,),
        "linear_attn.norm.weight": (config["linear_value_head_dim"],),
        "linear_attn.out_proj.weight": (hidden, values),
    }


def latent_shapes(config):
    """Multi-head latent attention."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    query_rank, rank = config["q_lora_rank"], config["kv_lora_rank"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    return {
        "self_attn.q_a_proj.weight": (query_rank, hidden),
        "self_attn.q_a_layernorm.weight": (query_rank,),
        "self_attn.q_b_proj.weight": (heads * (nope + rope), query_rank),
        "self_attn.kv_a_proj_with_mqa.weight": (rank + rope, hidden),
        "self_attn.kv_a_layernorm.weight": (rank,),
        "self_attn.kv_b_proj.weight": (heads * (nope + value), rank),
        "self_attn.o_proj.weight": (hidden, heads * value),
    }


def block_shapes(prefix, width, hidden):
    """A gated feed-forward block."""
    return {
        f"{prefix}gate_proj.weight": (width, hidden),
        f"{prefix}up_proj.weight": (width, hidden),
        f"{prefix}down_proj.weight": (hidden, width),
    }


def expert_shapes(config):
    """Router, routed experts in one stack, and the shared expert."""
    hidden, width = config["hidden_size"], config["moe_intermediate_size"]
    count = config["n_routed_experts" if is_latent(config) else "num_experts"]
    shapes = {
        "mlp.gate.weight": (count, hidden),
        "mlp.experts.gate_up_proj": (count, 2 * width, hidden),
        "mlp.experts.down_proj": (count, hidden, width),
    }
    if is_latent(config):
        shapes["mlp.gate.e_score_correction_bias"] = (count,)
        shared = config["n_shared_experts"] * width
        return {**shapes, **block_shapes("mlp.shared_experts.", shared, hidden)}
    shapes["mlp.shared_expert_gate.weight"] = (1, hidden)
    return {**shapes, **block_shapes("mlp.shared_expert.", config["shared_expert_intermediate_size"], hidden)}
