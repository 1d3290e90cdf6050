"""The networks that are trained besides Little Tales, under the names of Hugging Face's config.json."""

VOCABULARY, CONTEXT = 512, 256

LITTLE_HYBRID = {
    "architectures": ["Qwen3_5MoeForCausalLM"],
    "model_type": "qwen3_5_moe_text",
    "attention_bias": False,
    "attn_output_gate": True,
    "dtype": "bfloat16",
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 128,
    "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_value_head_dim": 32,
    "max_position_embeddings": CONTEXT,
    "mlp_only_layers": [],
    "moe_intermediate_size": 48,
    "mtp_num_hidden_layers": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_type": "default"},
    "shared_expert_intermediate_size": 96,
    "tie_word_embeddings": False,
    "vocab_size": VOCABULARY,
}

LITTLE_HYBRID_DRAFTER = {
    "architectures": ["Qwen3_5ForCausalLM"],
    "model_type": "qwen3_5_text",
    "attention_bias": False,
    "attn_output_gate": True,
    "dtype": "bfloat16",
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 160,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "linear_value_head_dim": 32,
    "max_position_embeddings": CONTEXT,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_type": "default"},
    "tie_word_embeddings": False,
    "vocab_size": VOCABULARY,
}

LITTLE_LATENT = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "attention_bias": False,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 128,
    "intermediate_size": 256,
    "kv_lora_rank": 32,
    "max_position_embeddings": CONTEXT,
    "moe_intermediate_size": 32,
    "moe_layer_freq": 1,
    "n_group": 4,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 4,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 64,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "v_head_dim": 32,
    "vocab_size": VOCABULARY,
}

LITTLE_LATENT_DRAFTER = {
    **LITTLE_LATENT,
    "hidden_size": 64,
    "intermediate_size": 160,
    "n_group": 1,
    "n_routed_experts": 8,
    "num_attention_heads": 2,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "num_nextn_predict_layers": 0,
    "topk_group": 1,
}

NETWORKS = {
    "little_hybrid": LITTLE_HYBRID,
    "little_hybrid_drafter": LITTLE_HYBRID_DRAFTER,
    "little_latent": LITTLE_LATENT,
    "little_latent_drafter": LITTLE_LATENT_DRAFTER,
}


def is_latent(config):
    """Whether the network is of DeepSeek's family, rather than of Qwen's."""
    return config["model_type"] == "deepseek_v3"


def has_module(config):
    """Whether the network has a module of multi-token prediction."""
    return config.get("mtp_num_hidden_layers", config.get("num_nextn_predict_layers", 0)) > 0


def layer_prefixes(config):
    """Where the tensors of every layer stand."""
    return [f"model.layers.{layer}." for layer in range(config["num_hidden_layers"])]


def module_prefix(config):
    """Where the layer of the module of multi-token prediction stands."""
    return f"model.layers.{config['num_hidden_layers']}." if is_latent(config) else "mtp.layers.0."


def module_tensors(config):
    """Names of the module's own tensors: norms of embedding and hidden state, projection, final norm."""
    if is_latent(config):
        names = ("enorm", "hnorm", "eh_proj", "shared_head.norm")
        return tuple(f"{module_prefix(config)}{name}.weight" for name in names)
    names = ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "fc", "norm")
    return tuple(f"mtp.{name}.weight" for name in names)


def has_experts(config, prefix):
    """Whether the layer at a prefix has experts in place of a dense block."""
    if not is_latent(config):
        return "num_experts" in config
    return int(prefix.split(".")[2]) >= config["first_k_dense_replace"]


def has_recurrence(config, prefix):
    """Whether the layer at a prefix mixes tokens by Gated DeltaNet; a module's layer never does."""
    if is_latent(config) or prefix.startswith("mtp."):
        return False
    return config["layer_types"][int(prefix.split(".")[2])] == "linear_attention"
