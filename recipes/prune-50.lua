-- The smaller half of the weights of every layer becomes 0. The paper trains the network again afterwards; here it is
-- measured as it stands.
-- ResNet-20 on CIFAR-10: 89.4 % of 91.5, KL to the original 0.14; 17 bits a weight, since those that stay are floats.
recipe{
  name   = "prune-50",
  about  = "the smallest half of the weights removed, layer by layer",
  source = "Han et al., Learning both weights and connections (arXiv 1506.02626), without retraining",
}
local sparsity = param("sparsity", 0.5, {0.0, 0.99}, "fraction of the weights that become 0")
local scope    = param("scope", "layer", {"layer", "global"}, "each layer loses this fraction, or all of them together")
local samples  = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", prune{ sparsity = sparsity, scope = scope }),
})

report(evaluate(net, data.test))
save(net, "prune-50.safetensors")
