-- Every weight matrix becomes a product of two thin ones with half as many values: plain SVD has the least error of the
-- weights, the whitened form the least error of the layer's outputs on the calibration samples.
-- ResNet-20 on CIFAR-10 has no half to spare: 13 % of 91.5, KL to the original 3.1 at 15.6 bits a weight; whitened 34 %, 2.3.
recipe{
  name   = "low-rank-half",
  about  = "each layer as a product of two thin matrices with half the values",
  source = "plain: Eckart and Young, 1936; whitened: Wang et al., SVD-LLM (arXiv 2403.07378)",
}
local ratio   = param("ratio", 0.5, {0.01, 1.0}, "values of both factors as a fraction of the layer's weights")
local method  = param("method", "svd", {"svd", "whitened"}, "least error of the weights, or of the outputs")
local samples = param("samples", 128, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", lowrank{ method = method, ratio = ratio }),
})

report(evaluate(net, data.test))
save(net, "low-rank-half.safetensors")
