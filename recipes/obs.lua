-- One weight at a time, the one whose loss the rest of its row can make up for best; for layers of up to 2,048 inputs.
-- ResNet-20 on CIFAR-10: KL to the original 0.021 at 50 %, 0.087 at 70 % (256 images).
recipe{
  name   = "obs",
  about  = "Optimal Brain Surgeon: the exact greedy order of pruning",
  source = "Optimal Brain Compression (Frantar, Singh, Alistarh, NeurIPS 2022, arXiv 2208.11580), ExactOBS",
}
local sparsity = param("sparsity", 0.5, {0.0, 0.99}, "fraction of the weights that become 0")
local block    = param("block", 0, {0, 64}, "neighbours that go together; 0: single weights")
local samples  = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", keep{}),
  rule(".*", prune{ criterion = "obs", sparsity = sparsity, block = block }),
})

report(evaluate(net, data.test))
save(net, "obs.safetensors")
