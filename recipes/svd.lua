-- Truncated singular value decomposition: the least error of the weights, whatever the inputs. svd-llm has the least
-- error of the outputs. ResNet-20 on CIFAR-10: KL to the original 0.59 at 88.1 % of the values, 0.99 at 74.1 %
-- (whitened: 0.076 and 0.24).
-- stories260K: perplexity 69 of 3.69 at the default ratio.
recipe{
  name   = "svd",
  about  = "each layer as a product of two thin matrices",
  source = "Eckart and Young, Psychometrika 1936; for networks: Denton et al. (arXiv 1404.0736)",
}
local ratio   = param("ratio", 0.881, {0.01, 1.0}, "values of both factors as a fraction of the layer's weights")
local samples = param("samples", 128, {1, 100000}, "calibration samples; they only measure the layers' errors")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", keep{}),
  rule(".*", lowrank{ method = "svd", ratio = ratio }),
})

report(evaluate(net, data.test))
save(net, "svd.safetensors")
