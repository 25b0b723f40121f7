-- AQLM: runs of weights as sums of vectors from several books, times a scale of the row; books by least squares and codes
-- by beam search in turn, both under the second moment of the inputs. The first and the last layer keep 8 bits.
-- ResNet-20 on CIFAR-10, 1,024 images: KL to the original 0.10 at 2.10 bits a weight, where gptq has 0.33 (range =
-- "minmax"; 0.69 with "mse", 0.44 with coordinate descent) at 2.07. All layers alike, axis = "out", scales = "e4m3", values = "i8": 0.074 at 2.04 bits, where
-- gptq has 0.83.
-- stories260K, 64 stories: perplexity 18.9 of 3.69 at 3.3 stored bits.
recipe{
  name   = "aqlm",
  about  = "additive books of vectors, beam search and least squares",
  source = "AQLM (Egiazarian et al., ICML 2024, arXiv 2401.06118), section 3.2, layer by layer",
}
local bits    = param("bits", 2, {1, 4}, "bits a weight; books and scales come on top")
local dim     = param("dim", 2, {1, 3}, "neighbouring weights that share a code of each book")
local planes  = param("planes", 1, {1, 2}, "books that are added up; dim * bits / planes must be whole")
local beam    = param("beam", 8, {1, 64}, "hypotheses of the search")
local axis    = param("axis", "in", {"in", "out"}, "neighbours along a row, as the authors have it, or down a column")
local scale   = param("scale", "row", {"none", "row"}, "a scale for each output")
local scales  = param("scales", "f16", {"f16", "f32", "e4m3"}, "stored type of the scales")
local values  = param("values", "f16", {"f16", "f32", "i8"}, "stored type of the books")
local turns   = param("turns", 20, {1, 1000}, "most turns of books and codes")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", vq{ solver = "aqlm", bits = bits, dim = dim, planes = planes, axis = axis, scale = scale,
             scales = scales, values = values, beam = beam, turns = turns }),
})

report(evaluate(net, data.test))
save(net, "aqlm.safetensors")
