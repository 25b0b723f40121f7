-- Vector quantisation: runs of neighbouring weights share a code into a book of vectors, k-means weighted by what each
-- input carries; then codes run by run, later ones making up for each error, as in gptq. The first and the last layer
-- keep 8 bits. ResNet-20 on CIFAR-10: KL to the original 0.19 at 2.06 bits a weight (0.15 with 1,024
-- images; gptq there: 0.33 with range = "minmax", 0.69 with "mse"), 1.6 without feedback.
recipe{
  name   = "vq",
  about  = "a code a run of neighbouring weights, books by Hessian-weighted k-means",
  source = "k-means books weighted by diag H as in VPTQ (Liu et al., EMNLP 2024, arXiv 2409.17066)",
}
local bits    = param("bits", 2, {1, 3}, "bits a weight; books come on top")
local dim     = param("dim", 2, {1, 4}, "neighbouring weights that share a code")
local feedback = param("feedback", true, nil, "later codes make up for errors; false: k-means alone")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", vq{ weight = "hessian", bits = bits, dim = dim, feedback = feedback and "ldlq" or "none" }),
})

report(evaluate(net, data.test))
save(net, "vq.safetensors")
