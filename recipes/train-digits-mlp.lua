-- Trains the digits MLP that ships in data/models: two hidden layers on 8x8 images. The metadata of the file says what it
-- reaches on the test part, which took no part in training or in choosing the best epoch.
recipe{
  name   = "train-digits-mlp",
  about  = "trains data/models/digits-mlp: 64-96-48-10 with relu, on data/digits",
  source = "AdamW: Loshchilov and Hutter, Decoupled weight decay regularization (arXiv 1711.05101)",
}
local epochs = param("epochs", 60, {1, 1000}, "passes over the training part")
local seed   = param("seed", 1, {0, 1000000}, "of the first weights, the order of samples and the noise")

local data = dataset(arg.data or "data/digits")
local net  = new_model("mlp", { input = {1, 8, 8}, hidden = {96, 48}, classes = 10 }, seed)

train(net, {
  train = data.train, check = data.select, seed = seed,
  optimizer = "adamw", rate = 3e-3, weight_decay = 0.05, warmup = 0.1, epochs = epochs, batch = 32,
  noise = 0.1, label_smoothing = 0.05,
})

local row = evaluate(net, data.test)
report(row)
save(net, "digits-mlp.safetensors", {
  seed = seed, top1 = string.format("%.2f", row.value), measured_on = "digits/test",
})
