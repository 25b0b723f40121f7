-- gpt2: decoder-only transformer with learnt positions and layer norm, by the names of Hugging Face's GPT2LMHeadModel.
-- Its "Conv1D" layers store their weights as [in x out]; `transposed` says so, and the weight is turned when it is read
-- and turned back when a plain checkpoint is written.
local checkpoint = require "checkpoint"

local M = {
  name = "gpt2",
  about = "GPT-2 language models: learnt positions, layer norm, fused q k v, GELU (tanh form)",
  source = "Radford et al. 2019",
}

local activations = { gelu_new = "gelu_tanh", gelu_pytorch_tanh = "gelu_tanh", gelu = "gelu", relu = "relu" }

local fields = {
  n_embd = "dim", n_layer = "layers", n_head = "heads", vocab_size = "entries", n_positions = "context", n_inner = "ffn",
}

local function complete(config)
  local c = {}
  for k, v in pairs(config) do c[k] = v end
  for long, short in pairs(fields) do
    if c[long] == nil then c[long] = config[short] end
    c[short] = nil
  end
  c.vocab_size = c.vocab_size or (type(c.vocabulary) == "string" and utf8.len(c.vocabulary)) or nil
  return c
end

function M.recognise(tensors, config, metadata)
  local prefix = tensors["transformer.wte.weight"] and "transformer." or ""
  local wte, wpe = tensors[prefix .. "wte.weight"], tensors[prefix .. "wpe.weight"]
  if not wte or not wpe then return nil, "there are no tables 'wte' and 'wpe'" end
  local fc = tensors[prefix .. "h.0.mlp.c_fc.weight"]
  if not fc or not tensors[prefix .. "h.0.attn.c_attn.weight"] then return nil, "block h.0 lacks attn.c_attn or mlp.c_fc" end
  if config.activation_function and not activations[config.activation_function] then
    return nil, "config: activation_function '" .. tostring(config.activation_function) .. "' is not known"
  end
  local c = complete(config)
  c.prefix, c.n_embd, c.vocab_size, c.n_positions = prefix, wte[2], wte[1], wpe[1]
  c.n_layer = 0
  while tensors[string.format("%sh.%d.attn.c_attn.weight", prefix, c.n_layer)] do c.n_layer = c.n_layer + 1 end
  c.n_inner = fc[2]
  if not c.n_head then  -- every published GPT-2 has heads of 64
    if c.n_embd % 64 ~= 0 then return nil, "the tensors do not say how many heads it has: give config.json with n_head" end
    c.n_head = c.n_embd // 64
  end
  local tied = config.tie_word_embeddings
  c.tie_word_embeddings = tied == true or tied == nil or tensors["lm_head.weight"] == nil
  return c
end

-- Causal masks that older files keep, and the output head where it is tied.
function M.ignore(name)
  return name == "lm_head.weight" or name:find("%.attn%.bias$") ~= nil or name:find("%.attn%.masked_bias$") ~= nil
end

function M.build(g, config)
  local c = complete(config)
  local whole, p = checkpoint.whole, c.prefix or ""
  local width, eps = whole(c, "n_embd"), c.layer_norm_epsilon or 1e-5
  local act = activations[c.activation_function or "gelu_new"]
  if not act then error("config: activation_function '" .. tostring(c.activation_function) .. "' is not known", 0) end
  local function conv1d(x, name, out) return g:linear(x, name, { out = out, transposed = true }) end
  local x = g:embedding(g:tokens(whole(c, "n_positions")), p .. "wte", { count = whole(c, "vocab_size"), width = width })
  x = g:position(x, p .. "wpe", { count = c.n_positions, width = width })
  for i = 0, whole(c, "n_layer") - 1 do
    local h = string.format("%sh.%d.", p, i)
    local y = g:layer_norm(x, h .. "ln_1", { eps = eps })
    y = conv1d(y, h .. "attn.c_attn", 3 * width)
    local q, k, v = g:split(y, h .. "attn.split", { axis = -1, parts = 3 })
    y = g:attention(q, k, v, h .. "attn.attention", { heads = whole(c, "n_head") })
    x = g:add(x, conv1d(y, h .. "attn.c_proj", width), h .. "attn.add")
    y = g:layer_norm(x, h .. "ln_2", { eps = eps })
    y = g[act](g, conv1d(y, h .. "mlp.c_fc", c.n_inner or 4 * width), h .. "mlp.act")
    x = g:add(x, conv1d(y, h .. "mlp.c_proj", width), h .. "mlp.add")
  end
  x = g:layer_norm(x, p .. "ln_f", { eps = eps })
  local tied = c.tie_word_embeddings ~= false and p .. "wte.weight" or nil
  return g:linear(x, "lm_head", { out = c.vocab_size, bias = false, tied = tied })
end

return M
