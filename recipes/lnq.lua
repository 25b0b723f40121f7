-- LNQ: a book of values for every output row; k-means begins, then codes by descent and values by least squares in turn,
-- both under the whole second moment of the inputs. The first and the last layer keep 8 bits. ResNet-20 on CIFAR-10, 1,024
-- images: KL to the original 0.084 at 2.19 bits a weight, 2.7 by SqueezeLLM's books alone (gptq: 0.33 at 2.07).
recipe{
  name   = "lnq",
  about  = "books of values and codes in turn under the whole second moment",
  source = "LNQ of GuidedQuant (Kim et al., ICML 2025, arXiv 2505.07004), section 4, without the guidance of gradients",
}
local bits    = param("bits", 2, {1, 8}, "bits a code: 2^bits values a row")
local weight  = param("weight", "hessian", {"none", "hessian", "fisher"}, "what an error costs in the k-means it begins with")
local turns   = param("turns", 20, {0, 1000}, "turns of books and codes")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", codebook{ bits = bits, weight = weight, refine = "lnq", turns = turns, samples = samples }),
})

report(evaluate(net, data.test))
save(net, "lnq.safetensors")
