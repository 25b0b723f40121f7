-- Product quantisation: each row is cut into stretches, and every stretch has a book of vectors of its own. Books multiply,
-- so they stay small here. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10, 1,024 images: KL to the original 0.13 at 2.16 bits a weight, 2.7 without feedback (the classic
-- quantiser), 0.094 at 2.20 with solver = "aqlm" (one book a layer: 0.15, 3.7 and 0.10, at 2.06 and 2.10; gptq 0.33).
recipe{
  name   = "product-vq",
  about  = "a book of vectors for every stretch of the inputs",
  source = "Jegou, Douze and Schmid, PAMI 2011 (10.1109/TPAMI.2010.57); on weights: Gong et al. (arXiv 1412.6115)",
}
local bits    = param("bits", 2, {1, 4}, "bits a weight; books come on top")
local dim     = param("dim", 2, {1, 3}, "neighbouring weights that share a code")
local spaces  = param("spaces", 4, {1, 64}, "stretches of a row, each with its book")
local solver  = param("solver", "kmeans", {"kmeans", "vptq", "aqlm"}, "how books and codes are found")
local feedback = param("feedback", true, nil, "kmeans: later codes make up for errors; false: the classic quantiser")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", vq{ solver = solver, weight = "hessian", axis = "in", bits = bits, dim = dim, spaces = spaces,
             feedback = solver == "kmeans" and feedback and "ldlq" or "auto" }),
})

report(evaluate(net, data.test))
save(net, "product-vq.safetensors")
