-- Trains the digits CNN that ships in data/models: three convolutions with batch norm, then two linear layers. Images are
-- moved by up to a pixel and get some noise; the best epoch on the selection part is kept.
recipe{
  name   = "train-digits-cnn",
  about  = "trains data/models/digits-cnn: conv 16-32-32 with batch norm, linear 64-10, on data/digits",
  source = "batch norm: Ioffe and Szegedy (arXiv 1502.03167); AdamW: Loshchilov and Hutter (arXiv 1711.05101)",
}
local epochs = param("epochs", 40, {1, 1000}, "passes over the training part")
local seed   = param("seed", 1, {0, 1000000}, "of the first weights, the order of samples and the augmentation")

local function block(name, out, pool)
  local n = name:match("%d+")
  local layers = { { "conv2d", name, out = out, kernel = 3, pad = 1, bias = false }, { "batch_norm", "bn" .. n },
                   { "relu" } }
  if pool then layers[#layers + 1] = { "max_pool", kernel = 2 } end
  return layers
end

local layers = {}
local function add(list) for _, layer in ipairs(list) do layers[#layers + 1] = layer end end
add(block("conv1", 16, false))
add(block("conv2", 32, true))
add(block("conv3", 32, true))
add{ { "flatten" }, { "linear", "fc1", out = 64 }, { "relu" }, { "linear", "fc2", out = 10 } }

local data = dataset(arg.data or "data/digits")
local net  = new_model("cnn", { input = {1, 8, 8}, layers = layers }, seed)

train(net, {
  train = data.train, check = data.select, seed = seed,
  optimizer = "adamw", rate = 4e-3, weight_decay = 0.05, warmup = 0.1, epochs = epochs, batch = 32,
  shift = 1, noise = 0.05, label_smoothing = 0.05,
})

local row = evaluate(net, data.test)
report(row)
save(net, "digits-cnn.safetensors", {
  seed = seed, top1 = string.format("%.2f", row.value), measured_on = "digits/test",
})
