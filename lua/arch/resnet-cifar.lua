-- resnet-cifar: residual networks for 32x32 images. Three (or more) stages of basic blocks; each stage after the first
-- halves the image. Where the shape changes the shortcut is either option A (every second pixel, zero channels before
-- and after) or a 1x1 convolution (`downsample.0` or `shortcut.0`, with batch norm `.1` where the file has one).
local checkpoint = require "checkpoint"

local M = {
  name = "resnet-cifar",
  about = "ResNet-20/32/44/56/110 for CIFAR (option-A or projection shortcuts), and MLPerf Tiny's ResNet-8",
  source = "He, Zhang, Ren, Sun 2016, section 4.2; Banbury et al. 2021 (MLPerf Tiny)",
}

local function projection(tensors, block)
  for _, name in ipairs { "downsample", "shortcut" } do
    if tensors[block .. "." .. name .. ".0.weight"] then return name end
  end
end

function M.recognise(tensors, config, metadata)
  local first = tensors["conv1.weight"]
  if not first or #first ~= 4 or first[3] ~= 3 then return nil, "there is no 3x3 convolution 'conv1'" end
  if not tensors["bn1.running_mean"] then return nil, "there is no batch normalisation 'bn1'" end
  local stages = {}
  while tensors[string.format("layer%d.0.conv1.weight", #stages + 1)] do
    local s, blocks = #stages + 1, 0
    while tensors[string.format("layer%d.%d.conv2.weight", s, blocks)] do blocks = blocks + 1 end
    stages[s] = { channels = tensors[string.format("layer%d.0.conv1.weight", s)][1], blocks = blocks }
    if blocks == 0 then return nil, string.format("block 'layer%d.0' has no conv2", s) end
  end
  if #stages == 0 then return nil, "there are no blocks named layer1.0.conv1, layer1.0.conv2, ..." end
  local head = tensors["linear.weight"] and "linear" or tensors["fc.weight"] and "fc"
  if not head then return nil, "there is no classifier 'linear' or 'fc'" end
  local project, project_norm
  for s = 1, #stages do
    local name = projection(tensors, string.format("layer%d.0", s))
    if name then
      project = name
      project_norm = tensors[string.format("layer%d.0.%s.1.running_mean", s, name)] ~= nil
    end
  end
  return {
    input = config.input or { first[2], 32, 32 },
    channels = first[1], stages = stages, bias = tensors["conv1.bias"] ~= nil,
    projection = project, projection_norm = project_norm,
    head = head, classes = tensors[head .. ".weight"][1], head_bias = tensors[head .. ".bias"] ~= nil,
    eps = config.eps or tonumber(metadata.bn_eps) or 1e-5,
    same = config.same or (metadata.padding or ""):find("^TF SAME") ~= nil,
  }
end

-- TensorFlow's SAME padding of a 3x3 convolution pads below and right only when the step is 2 and the side is even.
local function padding(config, stride, side)
  if config.same and stride == 2 and side % 2 == 0 then return { 0, 0, 1, 1 } end
  return { 1, 1, 1, 1 }
end

local function conv_norm(g, config, x, conv, norm, out, stride)
  local _, height = g:shape(x)
  x = g:conv2d(x, conv, { out = out, kernel = 3, stride = stride, pad = padding(config, stride, height),
    bias = config.bias or false })
  return g:batch_norm(x, norm, { eps = config.eps or 1e-5 })
end

local function shortcut(g, config, x, block, out, stride)
  local channels = g:shape(x)
  if config.projection and (stride > 1 or channels ~= out) then
    local name = block .. "." .. config.projection
    x = g:conv2d(x, name .. ".0", { out = out, kernel = 1, stride = stride, bias = config.bias or false })
    if config.projection_norm then x = g:batch_norm(x, name .. ".1", { eps = config.eps or 1e-5 }) end
    return x
  end
  if stride > 1 then
    x = g:slice(x, block .. ".rows", { axis = 2, step = stride })
    x = g:slice(x, block .. ".columns", { axis = 3, step = stride })
  end
  if channels == out then return x end
  local before = (out - channels) // 2
  return g:pad(x, block .. ".channels", { axis = 1, before = before, after = out - channels - before })
end

function M.build(g, config)
  local stages = config.stages
  if not stages then  -- a new network: {depth = 20} is 6n + 2
    local depth = checkpoint.whole(config, "depth", 8)
    local n = (depth - 2) // 6
    if 6 * n + 2 ~= depth then error(string.format("config: depth is %d, expected 6n + 2 (8, 14, 20, ...)", depth), 0) end
    local width = config.channels or 16
    stages = { { channels = width, blocks = n }, { channels = 2 * width, blocks = n }, { channels = 4 * width, blocks = n } }
  end
  local x = g:input(config.input or { 3, 32, 32 })
  x = g:relu(conv_norm(g, config, x, "conv1", "bn1", config.channels or 16, 1), "relu1")
  for s, stage in ipairs(stages) do
    for b = 0, stage.blocks - 1 do
      local block = string.format("layer%d.%d", s, b)
      local stride = s > 1 and b == 0 and 2 or 1
      local y = conv_norm(g, config, x, block .. ".conv1", block .. ".bn1", stage.channels, stride)
      y = g:relu(y, block .. ".relu1")
      y = conv_norm(g, config, y, block .. ".conv2", block .. ".bn2", stage.channels, 1)
      y = g:add(y, shortcut(g, config, x, block, stage.channels, stride), block .. ".add")
      x = g:relu(y, block .. ".relu2")
    end
  end
  x = g:global_pool(x, "pool")
  g:task("classify")
  return g:linear(x, config.head or "linear", { out = checkpoint.whole(config, "classes"), bias = config.head_bias ~= false })
end

return M
