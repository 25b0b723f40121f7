-- mlp: linear layers one after another, with an activation (and a batch normalisation, where the file has one) between.
local checkpoint = require "checkpoint"

local M = {
  name = "mlp",
  about = "a chain of linear layers with an activation between them, and batch norm where the checkpoint has it",
  source = "Rumelhart, Hinton, Williams 1986; Ioffe, Szegedy 2015 for the normalisation",
}

local activations = { relu = true, gelu = true, gelu_tanh = true, silu = true, tanh = true, sigmoid = true }

-- config: input (features), layers = {{name, out, bias, norm = name or nil}}, activation, eps, task
function M.recognise(tensors, config, metadata)
  local layers, norms = {}, {}
  for _, m in ipairs(checkpoint.modules(tensors)) do
    if checkpoint.is_norm(m) then
      norms[#norms + 1] = m
    elseif m.weight and #m.weight == 2 and (not m.bias or #m.bias == 1) then
      layers[#layers + 1] = m
    else
      return nil, string.format("'%s' is neither a linear layer nor a batch normalisation", m.name)
    end
  end
  if #layers == 0 then return nil, "the file has no linear layer" end
  for i = 2, #layers do
    local a, b = layers[i - 1], layers[i]
    if a.weight[1] ~= b.weight[2] then
      return nil, string.format("'%s' takes %d features, but '%s' before it gives %d", b.name, b.weight[2], a.name,
        a.weight[1])
    end
  end
  local list, by_number = {}, {}
  for i, m in ipairs(layers) do
    list[i] = { name = m.name, out = m.weight[1], bias = m.bias ~= nil }
    by_number[checkpoint.numbers(m.name)] = list[i]
  end
  for _, n in ipairs(norms) do
    local layer = by_number[checkpoint.numbers(n.name)]
    if not layer or layer.norm or layer.out ~= n.running_mean[1] then
      return nil, string.format("it is not clear which layer the batch normalisation '%s' follows", n.name)
    end
    layer.norm, layer.affine = n.name, n.weight ~= nil
  end
  local input = layers[1].weight[2]
  return {
    input = input, layers = list,
    activation = config.activation or "relu",
    eps = config.eps or tonumber(metadata.bn_eps) or 1e-5,
    task = config.task or (#list > 2 and list[#list].out == input and "reconstruct") or "classify",
  }
end

-- A new network may be given as {input = 64, hidden = {32, 16}, classes = 10}.
local function complete(config)
  if config.layers then return config.layers end
  local layers = {}
  local hidden = type(config.hidden) == "number" and { config.hidden } or config.hidden or {}
  for i, out in ipairs(hidden) do
    layers[i] = { name = "fc" .. i, out = out, bias = true, norm = config.norm and "bn" .. i or nil }
  end
  layers[#layers + 1] = { name = "fc" .. #layers + 1, out = checkpoint.whole(config, "classes"), bias = true }
  return layers
end

function M.build(g, config)
  local activation = config.activation or "relu"
  if not activations[activation] then error("config: there is no activation '" .. tostring(activation) .. "'", 0) end
  local layers = complete(config)
  local x
  if type(config.input) == "table" then
    x = g:input(config.input)
    if #config.input > 1 then x = g:reshape(x, "flatten", { shape = { -1 } }) end
  else
    x = g:input({ checkpoint.whole(config, "input") })
  end
  for i, layer in ipairs(layers) do
    x = g:linear(x, layer.name, { out = layer.out, bias = layer.bias ~= false })
    if layer.norm then
      x = g:batch_norm(x, layer.norm, { eps = config.eps or 1e-5, affine = layer.affine ~= false })
    end
    if i < #layers then x = g[activation](g, x) end
  end
  g:task(config.task or "classify")
  return x
end

return M
