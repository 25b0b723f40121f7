-- Vector quantisation: runs of neighbouring weights share a code into a book of vectors, k-means weighted by what each
-- input carries. On a network as small as ResNet-20 the books weigh in:
-- at 2 bits and runs of 4 it takes 3.13 bits a weight and 2-bit gptq, at 2.07, is no worse (KL 0.42 and 0.28).
recipe{
  name   = "vq",
  about  = "a code a run of neighbouring weights, books by Hessian-weighted k-means",
  source = "k-means books weighted by diag H as in VPTQ (Liu et al., EMNLP 2024, arXiv 2409.17066)",
}
local bits    = param("bits", 2, {1, 3}, "bits a weight; books come on top")
local dim     = param("dim", 4, {1, 4}, "neighbouring weights that share a code")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", vq{ weight = "hessian", bits = bits, dim = dim }),
})

report(evaluate(net, data.test))
save(net, "vq.safetensors")
