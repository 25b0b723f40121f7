-- cnn: a list of layers, one after another. The list is the config:
--   { arch = "cnn", input = {1, 28, 28}, layers = {
--       {"conv2d", "conv1", out = 20, kernel = 5}, {"relu"}, {"max_pool", kernel = 2},
--       {"flatten"}, {"linear", "fc1", out = 10} } }
-- Each entry is an op of the op table, an optional name, and its attributes; "flatten" makes one row of an image.
local checkpoint = require "checkpoint"

local M = {
  name = "cnn",
  about = "layers one after another, given as a list; recognises LeNet-5 shapes (5x5 kernels, pooling by 2)",
  source = "LeCun, Bottou, Bengio, Haffner 1998",
}

-- LeNet: unpadded 5x5 convolutions, each with relu and 2x2 maximum pooling, then linear layers with relu between. What
-- tensors do not say (padding, pooling) is taken to be so only where it leads to the 28x28 or 32x32 images it is for.
local function lenet(convs, linears)
  for _, m in ipairs(convs) do
    if m.weight[3] ~= 5 or m.weight[4] ~= 5 then return nil, "its kernels are not the 5x5 of LeNet" end
  end
  local last = convs[#convs].weight
  local pixels = linears[1].weight[2] // last[1]
  local side = math.floor(pixels ^ 0.5 + 0.5)
  if side * side * last[1] ~= linears[1].weight[2] then return nil, "its first linear layer takes no square images" end
  for _ = 1, #convs do side = side * 2 + 4 end
  if side ~= 28 and side ~= 32 then
    return nil, string.format("as LeNet it would take %dx%d images, not 28x28 or 32x32", side, side)
  end
  local layers = {}
  for _, m in ipairs(convs) do
    layers[#layers + 1] = { "conv2d", m.name, out = m.weight[1], kernel = 5, bias = m.bias ~= nil }
    layers[#layers + 1] = { "relu" }
    layers[#layers + 1] = { "max_pool", kernel = 2 }
  end
  layers[#layers + 1] = { "flatten" }
  for i, m in ipairs(linears) do
    layers[#layers + 1] = { "linear", m.name, out = m.weight[1], bias = m.bias ~= nil }
    if i < #linears then layers[#layers + 1] = { "relu" } end
  end
  return { input = { convs[1].weight[2], side, side }, layers = layers }
end

function M.recognise(tensors, config, metadata)
  if type(config.layers) == "table" and type(config.input) == "table" then return config end
  local convs, linears = {}, {}
  for _, m in ipairs(checkpoint.modules(tensors)) do
    local dims = m.weight and #m.weight
    if dims == 4 and #linears == 0 then
      convs[#convs + 1] = m
    elseif dims == 2 then
      linears[#linears + 1] = m
    else
      return nil, string.format("'%s' is not part of convolutions followed by linear layers", m.name)
    end
  end
  if #convs == 0 or #linears == 0 then return nil, "the file has no convolutions followed by linear layers" end
  local found, why = lenet(convs, linears)
  if not found then
    return nil, why .. ", and tensors do not say padding and pooling: give the list of layers in a .lua file beside it"
  end
  return found
end

function M.build(g, config)
  if type(config.input) ~= "table" then error("config: input is missing, expected {channels, height, width}", 0) end
  if type(config.layers) ~= "table" then error("config: layers is missing, expected a list of layers", 0) end
  local x = g:input(config.input)
  for i, layer in ipairs(config.layers) do
    if type(layer) == "string" then layer = { layer } end
    local op, name, attributes = layer[1], layer[2], {}
    if type(op) ~= "string" then error(string.format("config: layer %d does not begin with an op's name", i), 0) end
    for k, v in pairs(layer) do
      if type(k) == "string" then attributes[k] = v end
    end
    if op == "flatten" then op, attributes = "reshape", { shape = { -1 } } end
    if name then
      x = g[op](g, x, name, attributes)
    else
      x = g[op](g, x, attributes)
    end
  end
  g:task(config.task or "classify")
  return x
end

return M
