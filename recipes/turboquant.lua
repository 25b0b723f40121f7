-- No data at all. ResNet-20 / CIFAR-10: mse at 3 bits 86.4 % of 91.5, KL 0.31; prod with bits = 4 (3 + 1) 86.0 %, KL 0.36:
-- the sketch makes products right on average but adds variance, so for weights that stay fixed mse is the better half.
-- At 2 bits (43 %, KL 4.3) what knows the inputs is far ahead: trellis and e8 keep 91 % and more.
recipe{
  name   = "turboquant",
  about  = "random rotation, Lloyd-Max levels and, for unbiased products, a one-bit sketch of what is left",
  source = "Zandieh et al., TurboQuant (arXiv 2504.19874), algorithms 1 and 2",
}
local bits    = param("bits", 3, {1, 8}, "bits a weight, the sketch's one included")
local variant = param("variant", "mse", {"mse", "prod"}, "least squared error, or unbiased inner products")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

local turn = rotate{ method = "random" }
local rules = variant == "mse" and rule(".*", turn, quantize{ dtype = "lloyd", bits = bits })
  or rule(".*", turn, quantize{ dtype = "lloyd", bits = math.max(bits - 1, 1) }, qjl{})
compress(net, { rule("first|last", quantize{ bits = 8 }), rules })

report(evaluate(net, data.test))
save(net, "turboquant.safetensors")
