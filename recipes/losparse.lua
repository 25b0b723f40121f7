-- What the layers have in common goes into two thin factors, what is single into a sparse part. ResNet-20 on CIFAR-10:
-- KL to the original 0.40 with 30 % of the values in factors and 30 % single (svd factors: 0.53).
recipe{
  name   = "losparse",
  about  = "a low-rank part and the largest weights of what it leaves",
  source = "LoSparse (Li et al., ICML 2023, arXiv 2306.11222), without fine-tuning",
}
local ratio    = param("ratio", 0.3, {0.01, 1.0}, "values of both factors as a fraction of the layer's weights")
local sparsity = param("sparsity", 0.7, {0.0, 0.99}, "fraction of the remainder that is dropped")
local method   = param("method", "whitened", {"svd", "whitened"}, "least error of the weights, or of the outputs")
local samples  = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", keep{}),
  rule(".*", lowrank{ method = method, ratio = ratio }, prune{ sparsity = sparsity }),
})

report(evaluate(net, data.test))
save(net, "losparse.safetensors")
