# SPDX-License-Identifier: MIT
"""Model files made of others for the tests of `create`: GGUF files of floats (by the reference library), checkpoints of safetensors."""
import json
import struct

import gguf
import numpy as np

FLOATS = {"F32": (np.float32, gguf.LlamaFileType.ALL_F32), "F16": (np.float16, gguf.LlamaFileType.MOSTLY_F16)}


def read(path):
    return gguf.GGUFReader(str(path))


def floats(tensor):
    """The values of a tensor, rows first."""
    return gguf.dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in reversed(tensor.shape)])


def value(reader, key, default=None):
    field = reader.get_field(key)
    return default if field is None else field.contents()


def copy_values(reader, writer, skip):
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in skip:
            continue
        kind = field.types[0]
        part = field.types[1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, part)


def melt(source, target, kind="F16"):
    """The GGUF file again with its matrices as floats."""
    reader = read(source)
    dtype, file_type = FLOATS[kind]
    writer = gguf.GGUFWriter(str(target), value(reader, "general.architecture"))
    copy_values(reader, writer, ("general.architecture", "general.file_type"))
    writer.add_file_type(int(file_type))
    for tensor in reader.tensors:
        data = floats(tensor)
        writer.add_tensor(tensor.name, data.astype(dtype if data.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


# ---- Checkpoints of safetensors ----

COMMON = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
          "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
LLAMA = {**COMMON, "ffn_norm": "post_attention_layernorm"}
GEMMA = {**COMMON, "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}
FAMILIES = {"llama": ("LlamaForCausalLM", LLAMA), "qwen2": ("Qwen2ForCausalLM", LLAMA), "gemma3": ("Gemma3ForCausalLM", GEMMA)}
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTRACTION, WORD = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|", r"[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


def split(regex):
    return {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, {**BYTES, "use_regex": False}]}


PRE = {"smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**BYTES, "use_regex": True}]},
       "llama-bpe": split(CONTRACTION + WORD + r"\p{N}{1,3}|" + REST), "qwen2": split(CONTRACTION + WORD + r"\p{N}|" + REST)}


def bits(values, kind):
    if kind == "BF16":
        raw = values.astype(np.float32).view(np.uint32)
        return ((raw + 0x7FFF + (raw >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
    return values.astype({"F32": np.float32, "F16": np.float16}[kind]).tobytes()


def write_shard(path, tensors, kind="F32"):
    """tensors: name to an array; or to (kind, shape, bytes)."""
    header, data = {"__metadata__": {"format": "pt"}}, []
    at = 0
    for name, values in tensors.items():
        own, shape, raw = values if isinstance(values, tuple) else (kind, list(values.shape), bits(values, kind))
        header[name] = {"dtype": own, "shape": shape, "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def unpermute(values, n_heads):
    """Rows of Q or K as a checkpoint of Llama's family has them."""
    rows = values.shape[0]
    return values.reshape(n_heads, rows // n_heads // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)


def tensors_of(reader):
    architecture = value(reader, "general.architecture")
    renames = FAMILIES[architecture][1]
    heads = {"attn_q": value(reader, architecture + ".attention.head_count"), "attn_k": value(reader, architecture + ".attention.head_count_kv")}
    out = {}
    for tensor in reader.tensors:
        values, (stem, _, tail) = floats(tensor), tensor.name.rpartition(".")
        if tensor.name == "rope_freqs.weight":
            continue
        if stem.startswith("blk."):
            _, layer, part = stem.split(".", 2)
            if architecture == "llama" and part in heads:
                values = unpermute(values, heads[part])
            name = "model.layers.%s.%s.%s" % (layer, renames[part], tail)
        else:
            name = WHOLE[stem] + "." + tail
        out[name] = values - 1 if architecture == "gemma3" and "norm" in name else values
    return out


def config_of(reader):
    architecture = value(reader, "general.architecture")
    names = {"max_position_embeddings": "context_length", "hidden_size": "embedding_length", "num_hidden_layers": "block_count", "intermediate_size": "feed_forward_length",
             "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv", "rms_norm_eps": "attention.layer_norm_rms_epsilon",
             "rope_theta": "rope.freq_base", "head_dim": "attention.key_length", "sliding_window": "attention.sliding_window"}
    out = {"architectures": [FAMILIES[architecture][0]], "_name_or_path": "somebody/tiny", "hidden_act": "silu", "torch_dtype": "float32"}
    if architecture == "gemma3":
        out.update(hidden_act=None, hidden_activation="gelu_pytorch_tanh", rope_local_base_freq=10000.0, sliding_window_pattern=6)
        out.update(query_pre_attn_scalar=value(reader, architecture + ".attention.key_length"))
    for name, key in names.items():
        found = value(reader, architecture + "." + key)
        if found is not None:
            out[name] = found
    factor = value(reader, architecture + ".rope.scaling.factor")
    if factor is not None:
        out["rope_scaling"] = {"rope_type": "linear", "factor": factor}
    out["tie_word_embeddings"] = not any(t.name == "output.weight" for t in reader.tensors)
    return out


def merges_of_scores(texts, scores, types):
    """What a converter makes of a SentencePiece model: all ways to make a token, best tokens first."""
    known = {t for t, kind in zip(texts, types) if kind == 1}
    made = sorted((t for t in known if len(t) > 1), key=lambda t: (-scores[texts.index(t)], texts.index(t)))
    return [[t[:i], t[i:]] for t in made for i in range(1, len(t)) if t[:i] in known and t[i:] in known]


def tokenizer_of(reader):
    texts, types = value(reader, "tokenizer.ggml.tokens"), value(reader, "tokenizer.ggml.token_type")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": i, "content": texts[i], **plain, "special": types[i] in (2, 3)} for i in range(len(texts)) if types[i] in (2, 3, 4)]
    out = {"version": "1.0", "truncation": None, "padding": None, "decoder": None, "added_tokens": added, "normalizer": None, "post_processor": None}
    vocab = {t: i for i, (t, kind) in enumerate(zip(texts, types)) if kind in (1, 2, 6)}
    if value(reader, "tokenizer.ggml.model") == "gpt2":
        merges = value(reader, "tokenizer.ggml.merges")
        out.update(pre_tokenizer=PRE[value(reader, "tokenizer.ggml.pre")], model={"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": False, "ignore_merges": value(reader, "tokenizer.ggml.pre") == "llama-bpe"})
        return out
    steps = [{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]
    if value(reader, "tokenizer.ggml.add_space_prefix"):
        steps.insert(0, {"type": "Prepend", "prepend": "\u2581"})
    merges = merges_of_scores(texts, value(reader, "tokenizer.ggml.scores"), types)
    unknown = texts[value(reader, "tokenizer.ggml.unknown_token_id")]
    out.update(normalizer={"type": "Sequence", "normalizers": steps}, pre_tokenizer=None,
               model={"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": True, "unk_token": unknown})
    return out


def settings_of(reader):
    texts = value(reader, "tokenizer.ggml.tokens")
    out = {"add_bos_token": value(reader, "tokenizer.ggml.add_bos_token", False), "add_eos_token": value(reader, "tokenizer.ggml.add_eos_token", False)}
    for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")):
        number = value(reader, "tokenizer.ggml.%s_token_id" % key)
        if number is not None:
            out[name] = texts[number] if name != "eos_token" else {"content": texts[number], "lstrip": False}
    template = value(reader, "tokenizer.chat_template")
    if template:
        out["chat_template"] = template
    return out


def freeze(source, directory, kind="F32", n_shards=1):
    """The GGUF file as a checkpoint of safetensors in a directory."""
    reader = read(source)
    directory.mkdir(exist_ok=True)
    tensors = list(tensors_of(reader).items())
    for i in range(n_shards):
        name = "model.safetensors" if n_shards == 1 else "model-%05d-of-%05d.safetensors" % (i + 1, n_shards)
        write_shard(directory / name, dict(tensors[i::n_shards]), kind)
    for name, content in (("config", config_of(reader)), ("tokenizer", tokenizer_of(reader)), ("tokenizer_config", settings_of(reader))):
        (directory / (name + ".json")).write_text(json.dumps(content, ensure_ascii=False))
    return directory
