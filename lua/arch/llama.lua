-- llama: decoder-only transformer with RMS norm, rotary positions, grouped-query attention and a gated SiLU network, by
-- the names of Hugging Face's LlamaForCausalLM (Mistral and Qwen2 differ only in biases and window). q_proj and k_proj
-- hold rows for the half-rotated form of the rotary embedding.
local checkpoint = require "checkpoint"

local M = {
  name = "llama",
  about = "Llama-style language models: RMS norm, rotary positions, grouped-query attention, gated SiLU",
  source = "Touvron et al. 2023; Su et al. 2021 (rotary); Ainslie et al. 2023 (grouped queries); Shazeer 2020 (gated)",
}

-- The fields of config.json, or their short names.
local fields = {
  hidden_size = "dim", intermediate_size = "ffn", num_hidden_layers = "layers", num_attention_heads = "heads",
  num_key_value_heads = "kv_heads", vocab_size = "entries", max_position_embeddings = "context",
}

local function complete(config)
  local c = {}
  for k, v in pairs(config) do c[k] = v end
  for long, short in pairs(fields) do
    if c[long] == nil then c[long] = config[short] end
    c[short] = nil
  end
  c.num_key_value_heads = c.num_key_value_heads or c.num_attention_heads
  c.vocab_size = c.vocab_size or (type(c.vocabulary) == "string" and utf8.len(c.vocabulary)) or nil
  return c
end

function M.recognise(tensors, config, metadata)
  local table_ = tensors["model.embed_tokens.weight"]
  if not table_ or #table_ ~= 2 then return nil, "there is no token table 'model.embed_tokens'" end
  local q, k = tensors["model.layers.0.self_attn.q_proj.weight"], tensors["model.layers.0.self_attn.k_proj.weight"]
  local gate = tensors["model.layers.0.mlp.gate_proj.weight"]
  if not q or not k or not gate then return nil, "layer 0 lacks self_attn.q_proj, self_attn.k_proj or mlp.gate_proj" end
  if config.hidden_act and config.hidden_act ~= "silu" then
    return nil, "config: hidden_act is '" .. tostring(config.hidden_act) .. "', only silu is known here"
  end
  if type(config.rope_scaling) == "table" then return nil, "config: rope_scaling is not supported" end
  local c = complete(config)
  if not c.num_attention_heads then
    return nil, "the tensors are a llama's, but they do not say how many heads it has: give config.json with "
      .. "num_attention_heads, or a .lua file beside it with heads"
  end
  local layers = 0
  while tensors[string.format("model.layers.%d.self_attn.q_proj.weight", layers)] do layers = layers + 1 end
  if c.num_hidden_layers and c.num_hidden_layers ~= layers then
    return nil, string.format("config says %s layers, the file has %d", tostring(c.num_hidden_layers), layers)
  end
  c.num_hidden_layers = layers
  c.hidden_size, c.vocab_size = table_[2], table_[1]
  c.intermediate_size = gate[1]
  local head_dim = c.head_dim or q[1] // c.num_attention_heads
  c.head_dim = head_dim
  c.num_key_value_heads = k[1] // head_dim
  c.attention_bias = tensors["model.layers.0.self_attn.q_proj.bias"] ~= nil
  c.output_bias = tensors["model.layers.0.self_attn.o_proj.bias"] ~= nil
  c.mlp_bias = tensors["model.layers.0.mlp.gate_proj.bias"] ~= nil
  c.tie_word_embeddings = config.tie_word_embeddings or tensors["lm_head.weight"] == nil
  c.max_position_embeddings = c.max_position_embeddings or 2048
  if math.type(c.sliding_window) == "integer" then
    c.max_position_embeddings = math.min(c.max_position_embeddings, c.sliding_window)
  end
  return c
end

function M.ignore(name)
  return name == "lm_head.weight" or name:find("rotary_emb") ~= nil
end

function M.build(g, config)
  local c = complete(config)
  local whole = checkpoint.whole
  local width, heads, kv = whole(c, "hidden_size"), whole(c, "num_attention_heads"), whole(c, "num_key_value_heads")
  local head_dim = c.head_dim or width // heads
  local eps, base = c.rms_norm_eps or 1e-5, c.rope_theta or 10000.0
  local bias = c.attention_bias or false
  local x = g:embedding(g:tokens(whole(c, "max_position_embeddings")), "model.embed_tokens",
    { count = whole(c, "vocab_size"), width = width })
  for i = 0, whole(c, "num_hidden_layers") - 1 do
    local p = string.format("model.layers.%d.", i)
    local a = p .. "self_attn."
    local y = g:rms_norm(x, p .. "input_layernorm", { eps = eps })
    local q = g:linear(y, a .. "q_proj", { out = heads * head_dim, bias = bias })
    local k = g:linear(y, a .. "k_proj", { out = kv * head_dim, bias = bias })
    local v = g:linear(y, a .. "v_proj", { out = kv * head_dim, bias = bias })
    q = g:rope(q, a .. "q_rope", { head_dim = head_dim, base = base })
    k = g:rope(k, a .. "k_rope", { head_dim = head_dim, base = base })
    y = g:attention(q, k, v, a .. "attention", { heads = heads, kv_heads = kv })
    x = g:add(x, g:linear(y, a .. "o_proj", { out = width, bias = c.output_bias or false }), a .. "add")
    y = g:rms_norm(x, p .. "post_attention_layernorm", { eps = eps })
    local m = p .. "mlp."
    local inner = { out = whole(c, "intermediate_size"), bias = c.mlp_bias or false }
    local gate = g:silu(g:linear(y, m .. "gate_proj", inner), m .. "act")
    y = g:mul(gate, g:linear(y, m .. "up_proj", inner), m .. "mul")
    x = g:add(x, g:linear(y, m .. "down_proj", { out = width, bias = c.mlp_bias or false }), m .. "add")
  end
  x = g:rms_norm(x, "model.norm", { eps = eps })
  local tied = c.tie_word_embeddings ~= false and "model.embed_tokens.weight" or nil
  return g:linear(x, "lm_head", { out = c.vocab_size, bias = false, tied = tied })
end

return M
